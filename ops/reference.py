"""`python -m ops.reference`: write the tables of settings and metrics in docs/operating.md from their classes.

A table stands between two comments, `<!-- settings: python -m ops.reference -->` and `<!-- settings: end -->`; the
table of metrics stands between two with `metrics` in place of `settings`.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from service.metrics import Metrics
from service.settings import Settings

PROJECT = Path(__file__).parents[1]
PAGE = PROJECT / "docs" / "operating.md"


def settings_table() -> str:
    """Markdown, a row for each setting: its flag, its default and its description."""
    rows = (
        (
            f"`--{name.replace('_', '-')}`",
            _default(field.get_default(call_default_factory=True)),
            field.description or "",
        )
        for name, field in Settings.model_fields.items()
    )
    return _table(("flag", "default", "meaning"), rows)


def metrics_table() -> str:
    """Markdown, a row for each metric of the service itself, without those of the process."""
    metrics = (value for value in vars(Metrics()).values() if isinstance(value, MetricWrapperBase))
    rows = (
        (f"`{_name(metric)}`", metric._type or "", ", ".join(metric._labelnames), metric._documentation)
        for metric in metrics
    )
    return _table(("metric", "type", "labels", "meaning"), rows)


def with_tables(page: str) -> str:
    """The page with both tables written anew, each between its two comments.

    Raises ValueError if the page lacks the comments of a table, or has them twice.
    """
    for name, table in (("settings", settings_table()), ("metrics", metrics_table())):
        begin, end = f"<!-- {name}: python -m ops.reference -->", f"<!-- {name}: end -->"
        parts = re.split(f"{re.escape(begin)}.*?{re.escape(end)}", page, flags=re.DOTALL)
        if len(parts) != 2:
            raise ValueError(f"{PAGE.name} needs one {begin} … {end}, and has {len(parts) - 1}")
        page = f"{parts[0]}{begin}\n{table}{end}{parts[1]}"
    return page


def _default(value: object) -> str:
    if value is None or value == ():
        return "–"
    if isinstance(value, Path):
        value = value.relative_to(PROJECT) if value.is_absolute() else value
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _name(metric: MetricWrapperBase) -> str:
    """As Prometheus shows it: its client keeps a counter's name without the suffix."""
    return f"{metric._name}_total" if isinstance(metric, Counter) else metric._name


def _table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "".join("| " + " | ".join(text.replace("|", "\\|") for text in line) + " |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text()))
