"""`python -m ops.reference`: write README's tables of settings and metrics anew, from the classes that have them."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from prometheus_client import Counter
from prometheus_client.metrics import MetricWrapperBase

from service.metrics import Metrics
from service.settings import Settings

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"


def settings_table() -> str:
    """A line for each flag of `python -m service`."""
    rows = (
        (f"`--{name.replace('_', '-')}`", _default(field.get_default(call_default_factory=True)), field.description)
        for name, field in Settings.model_fields.items()
    )
    return _table(("flag", "default", "meaning"), rows)


def metrics_table() -> str:
    """A line for each metric that is the service's own."""
    metrics = (value for value in vars(Metrics()).values() if isinstance(value, MetricWrapperBase))
    rows = (
        (f"`{_name(metric)}`", metric._type, ", ".join(metric._labelnames), metric._documentation) for metric in metrics
    )
    return _table(("metric", "type", "labels", "meaning"), rows)


def renewed(readme: str) -> str:
    """The same text, what stands between `<!-- settings -->` and `<!-- end -->` (and so on) made anew."""
    for name, table in (("settings", settings_table()), ("metrics", metrics_table())):
        begin, end = f"<!-- {name}: python -m ops.reference -->", f"<!-- {name}: end -->"
        readme, found = re.subn(
            f"{re.escape(begin)}.*?{re.escape(end)}",
            lambda _, t=table, b=begin, e=end: f"{b}\n{t}{e}",
            readme,
            flags=re.S,
        )
        if found != 1:
            raise ValueError(f"README.md has no {begin} … {end}")
    return readme


def _default(value: Any) -> str:
    if value is None or value == ():
        return "–"
    if isinstance(value, Path):
        value = value.relative_to(PROJECT)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _name(metric: MetricWrapperBase) -> str:
    return f"{metric._name}_total" if isinstance(metric, Counter) else metric._name


def _table(header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> str:
    lines = [header, tuple("---" for _ in header), *rows]
    return "".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |\n" for line in lines)


if __name__ == "__main__":
    README.write_text(renewed(README.read_text()))
