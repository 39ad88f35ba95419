"""Accept, as the grammar has it and as clients send it."""

import pytest

from service.http.negotiation import choose

OFFERED = ("image/png", "application/json", "text/csv")


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        (None, "image/png"),
        ("", "image/png"),
        (" , ,", "image/png"),
        ("Text/CSV", "text/csv"),
        ("application/*", "application/json"),
        ("application/json;charset=utf-8;q=0.5, text/csv;q=0.4", "application/json"),
        ("image/*;q=0.1, text/csv;q=0.2, */*;q=0.05", "text/csv"),
        ("image/png;q=0, */*;q=0.1", "application/json"),
        ("image/png;q=0, application/*;q=0, text/*;q=0", None),
        ("text/html", None),
        ("text/html;level=1,application/xhtml+xml", None),
        # What Java sent by default before 19 and 17.0.12
        ("text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2", "image/png"),
        ("*", "image/png"),
        ("*;q=0.5, text/csv", "text/csv"),
        # Weights that the grammar does not have: a number counts, within 0 … 1; else the range has none
        ("application/json;q=.9, text/csv;q=.1", "application/json"),
        ("application/json;q=0.1234, text/csv;q=0.1233", "application/json"),
        ("image/png;q=0.5, text/csv;q=1.5", "text/csv"),
        ("image/png;q=0.5, text/csv;q=1.", "text/csv"),
        ('image/png;q="0.2", text/csv;q="0.5"', "text/csv"),
        ("text/csv;q=high", "text/csv"),
        ("text/csv;q=", "text/csv"),
        ("text/csv;q", "text/csv"),
        ("text/csv;q=-1", "text/csv"),
        ("text/csv;q=nan, image/png;q=0.9", "text/csv"),
        ("text/csv ; Q = 0.3 , image/png;q=0.2", "text/csv"),
        ("text/csv;q=0.000, image/png;q=0.001", "image/png"),
        # What is no media range says nothing, and alone it is no preference
        ("json", "image/png"),
        ("png, text/csv", "text/csv"),
        ("*/csv", "image/png"),
        ('text/html;note="a, b;q=1", text/csv;q=0.5', "text/csv"),
        ('text/csv;note="', "text/csv"),
    ],
)
def test_the_best_liked_type_is_chosen_and_what_cannot_be_read_refuses_nothing(accept, chosen):
    assert choose(accept, OFFERED) == chosen
