"""Some of the page's tests once more, in Firefox, where it is installed."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Error

from tests.e2e import test_playground as playground
from tests.e2e.browser import FIREFOX, Visit, visits

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not FIREFOX.is_file(), reason=f"there is no {FIREFOX}: install Debian's package firefox-esr"),
]


@pytest.fixture(scope="module")
def visit() -> Iterator[Callable[..., Visit]]:
    with visits(FIREFOX) as open_page:
        try:
            open_page("about:blank", "")
        except Error as error:
            if "unknown command" not in error.message:
                raise
            pytest.skip(f"this Playwright asks this Firefox for what it lacks: {error.message.splitlines()[0]}")
        yield open_page


at = playground.at
test_samples_form_before_ones_eyes_and_the_scrubber_goes_back = (
    playground.test_samples_form_before_ones_eyes_and_the_scrubber_goes_back
)
test_a_line_is_drawn_and_a_one_appears_and_its_link_gives_it_again = (
    playground.test_a_line_is_drawn_and_a_one_appears_and_its_link_gives_it_again
)
test_the_keyboard_draws_too = playground.test_the_keyboard_draws_too
test_what_nobody_waits_for_any_more_is_freed = playground.test_what_nobody_waits_for_any_more_is_freed
test_a_run_is_understood_beside_its_scrubber = playground.test_a_run_is_understood_beside_its_scrubber
test_one_handle_moves_through_all_cells_and_a_cell_can_be_enlarged = (
    playground.test_one_handle_moves_through_all_cells_and_a_cell_can_be_enlarged
)
test_samplers_are_compared_over_steps = playground.test_samplers_are_compared_over_steps
view = playground.view
test_nothing_stands_out_at_any_width = playground.test_nothing_stands_out_at_any_width
