"""service → model ← training, and no other way; the scheduler knows no tensors."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("model", {"training", "service", "tests"}),
        ("service", {"training", "tests"}),
        ("training", {"service", "tests"}),
    ],
)
def test_arrows_go_one_way(package, forbidden):
    files = list((ROOT / package).rglob("*.py"))
    assert files
    for path in files:
        assert not imported(path) & forbidden, path


def test_the_scheduler_is_plain_python():
    """Nor does what it imports of ours."""
    for file in ("scheduler.py", "speed_curve.py"):
        assert imported(ROOT / "service/engine" / file) <= {"bisect", "collections", "dataclasses", "service"}, file
