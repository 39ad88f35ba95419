"""Parts of a card in Markdown: lists, tables, and the section of the metrics."""

import math
from collections.abc import Mapping, Sequence

from training.card.metric_descriptions import DESCRIPTIONS

LISTED = 100  # labels or words that a card lists at most


def listed(names: Sequence[str]) -> str:
    """At most LISTED names, as the text of a table's cell."""
    some = ", ".join(name.replace("|", "\\|") for name in names[:LISTED])
    return some + (f" … ({len(names):,} in all)" if len(names) > LISTED else "")


def fields(config: Mapping[str, object]) -> str:
    """The fields of a config in one line."""
    return ", ".join(f"{key} {value}" for key, value in config.items())


def measured_section(metrics: Mapping[str, Mapping[str, object]]) -> list[str]:
    """The lines of the section "Measured": a table, and a description of each metric in it; none without metrics.

    metrics  settings and metrics by the name of the measurement; each measurement has a column
    """
    return ["## Measured", "", *_table(metrics), "", *_descriptions(metrics)] if metrics else []


def _table(metrics: Mapping[str, Mapping[str, object]]) -> list[str]:
    keys = dict.fromkeys(key for column in metrics.values() for key in column)
    lines = ["| | " + " | ".join(metrics) + " |", "|---" * (len(metrics) + 1) + "|"]
    for key in keys:
        cells = [_cell(column.get(key)) for column in metrics.values()]
        lines.append(f"| {_title(key)} | " + " | ".join(cells) + " |")
    return lines


def _descriptions(metrics: Mapping[str, Mapping[str, object]]) -> list[str]:
    present = {key for column in metrics.values() for key in column}
    return [f"- **{_title(key)}**: {text}." for key, text in DESCRIPTIONS.items() if key in present]


def _title(key: str) -> str:
    return key.replace("_", " ")


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float) and not math.isfinite(value):
        return "cannot be measured"
    return "" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
