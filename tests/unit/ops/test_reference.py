"""The tables of docs/operating.md are those of the classes that have the settings and the metrics."""

import pytest

from ops.reference import PAGE, metrics_table, settings_table, with_tables
from service.settings import Settings


def test_the_page_is_up_to_date():
    assert PAGE.read_text() == with_tables(PAGE.read_text()), "run: make reference"


def test_a_table_that_has_changed_is_written_anew():
    page = PAGE.read_text()
    changed = page.replace("| `--port` | `8000` |", "| `--port` | `80` |")
    assert changed != page and with_tables(changed) == page
    changed = page.replace("| `spirale_rows_queued` |", "| `spirale_rows_waiting` |")
    assert changed != page and with_tables(changed) == page


@pytest.mark.parametrize("name", ["settings", "metrics"])
def test_a_page_without_a_place_for_a_table_or_with_two_is_an_error(name):
    page = PAGE.read_text()
    with pytest.raises(ValueError, match=f"{name}.* has 0"):
        with_tables(page.replace(f"<!-- {name}: end -->", ""))
    with pytest.raises(ValueError, match=f"{name}.* has 2"):
        with_tables(page + page[page.index(f"<!-- {name}: python") :])


def test_every_setting_and_metric_has_a_row_that_says_what_it_is():
    lines = settings_table().splitlines() + metrics_table().splitlines()
    assert len(settings_table().splitlines()) == 2 + len(Settings.model_fields)
    assert all(line.rstrip("| ").split(" | ")[-1] for line in lines)
    assert "| `spirale_requests_total` | counter | dataset, outcome |" in metrics_table()
    assert "| `spirale_network_evaluations_total` | counter | device, model |" in metrics_table()
