"""README's tables are those of the classes that have the settings and the metrics."""

import pytest

from ops.reference import README, metrics_table, renewed, settings_table
from service.settings import Settings


def test_readme_is_up_to_date():
    assert README.read_text() == renewed(README.read_text()), "run: make readme"


def test_what_has_changed_is_written_anew():
    readme = README.read_text()
    assert renewed(readme.replace("| `--port` | `8000` |", "| `--port` | `80` |")) == readme
    assert renewed(readme.replace("| `spirale_rows_queued` |", "| `spirale_rows_waiting` |")) == readme


def test_a_readme_without_a_place_for_a_table_is_an_error():
    with pytest.raises(ValueError, match="settings"):
        renewed(README.read_text().replace("<!-- settings: end -->", ""))


def test_every_setting_and_metric_has_a_line_that_says_what_it_is():
    lines = settings_table().splitlines() + metrics_table().splitlines()
    assert len(settings_table().splitlines()) == 2 + len(Settings.model_fields)
    assert all(line.rstrip("| ").split(" | ")[-1] for line in lines)
    assert "| `spirale_requests_total` | counter | dataset, outcome |" in metrics_table()
