"""Two checkouts, the same requests: the same samples? What a redesign must not change."""

import asyncio
import base64
import csv
import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image
from rich.markup import escape
from rich.table import Table

from benchmarks import load, machine
from benchmarks.requests import Asked, every_request
from benchmarks.server import own_code, spirale

RENAMED: Mapping[str, str] = {
    "reads": "conditioning",
    "steered_by": "guidance_models",
    "preferred": "default_for_prompts",
    "follows": "controlnets",
    "evaluations_per_second": "network_evaluations_per_second",
    "guide": "guidance_model",
    **{f"steering {name}": f"guiding {name}" for name in ("gaussian-ddpm", "mnist-ddpm", "spiral-ddpm")},
    "engine.guidance_models": "helpers",  # these two were one field: their union is compared
    "engine.controlnets": "helpers",
}
"""Old name → new name of a field, or `parent.name` where only that object's is meant. Either checkout is read so."""

MEASURED = frozenset({"timings", "created", "network_evaluations_per_second", "knee", "seconds", "milliseconds"})
"""Fields (by their new names) that differ from run to run."""

RESHAPED = frozenset({"samplers", "ways"})
"""Fields of another shape in an older version: samplers were names, in each dataset, and there were no ways."""

PICTURES = frozenset({"b64_png", "b64_json", "image"})  # PNGs in base64: compared by pixels
POINTS = "points"
HEADERS = ("content-type", "x-seed", "x-model", "x-unknown-words")
SHOWN = 5  # differences of one request that are named

Value = str | float | bool | None
Facts = dict[str, Value]
"""Where it is in the answer → what is compared: a plain value, or the digest of an array."""


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    content: bytes


def run(other: Path) -> int:
    """Asks both checkouts, one after the other; the exit status: 1 if an answer differs."""
    own, other, asked = Path(__file__).resolve().parents[1], other.resolve(), every_request()
    machine.console.print(f"[bold]same-bytes[/] · {machine.describe()}")
    answers, others = (_answers_of(folder, asked) for folder in (own, other))
    found = {
        one: difference
        for one, answer, reference in zip(asked, answers, others, strict=True)
        if (difference := differences(answer, reference))
    }
    index = [one.path for one in asked].index("/models")
    missing = unasked(json.loads(answers[index].content), json.loads(others[index].content), asked)
    machine.console.print(_table(asked, found))
    for one, difference in found.items():
        left = f"; {len(difference) - SHOWN} more" if len(difference) > SHOWN else ""
        machine.console.print(escape(f"{one.group}: {one.name}: {'; '.join(difference[:SHOWN])}{left}"))
    for name in missing:
        machine.console.print(f"no request asks for {name}")
    return int(bool(found or missing))


def differences(answer: Answer, reference: Answer) -> list[str]:
    """What differs between two answers to one request, here and there; also where they were refused.

    A field that one version does not have is null there.
    """
    if answer.status != 200 or reference.status != 200:
        return [f"status {answer.status}, there {reference.status}: {answer.content[:200].decode(errors='replace')}"]
    here, there = facts(answer), facts(reference)
    return [
        f"{where}: {_told(here, where)}, there {_told(there, where)}"
        for where in here | there
        if _differ(here.get(where), there.get(where))
    ]


def facts(answer: Answer) -> Facts:
    """Everything in an answer that is compared. Arrays are digests; what was measured is left out."""
    kind = answer.headers["content-type"].split(";")[0]
    headers = {name: answer.headers[name] for name in HEADERS if name in answer.headers}
    return dict([*_of_json("headers", headers), *_DECODERS[kind](answer.content)])


def unasked(models: Mapping[str, Any], others: Mapping[str, Any], asked: Sequence[Asked]) -> list[str]:
    """Models and samplers in both answers of `GET /models` that no request names."""
    bodies = [one.body for one in asked if one.body is not None]
    named = {body.get("model") for body in bodies} | {body.get("sampler") for body in bodies}
    return sorted((_served(models) & _served(others)) - named)


def _served(models: Mapping[str, Any]) -> set[str]:
    """Names of models and samplers in an answer of `GET /models`, of either shape."""
    datasets = models["datasets"].values()
    names = {model["name"] for dataset in datasets for model in dataset["models"]}
    return names.union(models.get("samplers", ()), *(dataset.get("samplers", ()) for dataset in datasets))


def digest(array: np.ndarray) -> str:
    """Type, shape and SHA-256 of an array."""
    array = np.ascontiguousarray(array)
    return f"{array.dtype}{list(array.shape)} {hashlib.sha256(array.tobytes()).hexdigest()[:16]}"


def _of_json(where: str, value: object) -> Iterator[tuple[str, Value]]:
    """Every leaf of plain JSON, under the new names."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            name = RENAMED.get(f"{where.rpartition('.')[2]}.{key}", RENAMED.get(key, key))
            path = f"{where}.{name}" if where else name
            if name in PICTURES and isinstance(item, str):
                yield from _of_png(base64.b64decode(item), path)
            elif name == POINTS:
                yield path, digest(np.array(item, np.float64))
            elif name not in MEASURED | RESHAPED:
                yield from _of_json(path, item)
    elif isinstance(value, list):
        yield f"{where}.length", len(value)
        for index, item in enumerate(value):
            yield from _of_json(f"{where}[{index}]", item)
    else:
        assert value is None or isinstance(value, str | float | int)
        yield where, value


def _of_json_text(content: bytes, where: str = "") -> Iterator[tuple[str, Value]]:
    yield from _of_json(where, json.loads(content))


def _of_png(content: bytes, where: str = "png") -> Iterator[tuple[str, Value]]:
    """Pixels, and its text chunks by value."""
    with Image.open(io.BytesIO(content)) as picture:
        yield f"{where}.pixels", digest(np.asarray(picture.convert("RGBA")))
        for key, text in picture.info.items():
            if key == "Parameters":
                yield from _of_json_text(text.encode(), f"{where}.{key}")
            else:
                yield f"{where}.{key}", str(text)


def _of_npy(content: bytes) -> Iterator[tuple[str, Value]]:
    yield "array", digest(np.load(io.BytesIO(content), allow_pickle=False))


def _of_csv(content: bytes) -> Iterator[tuple[str, Value]]:
    """Each column: numbers by their digest, other text as it is."""
    header, *rows = csv.reader(io.StringIO(content.decode(), newline=""))
    yield "header", ",".join(header)
    for index, name in enumerate(header):
        cells = [row[index] for row in rows]
        yield name, ",".join(cells) if name == "label" else digest(np.array(cells, np.float64))


def _of_zip(content: bytes) -> Iterator[tuple[str, Value]]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for name in archive.namelist():
            if name.endswith(".png"):
                yield from _of_png(archive.read(name), name)
            else:
                yield from _of_json(name, [json.loads(line) for line in archive.read(name).splitlines()])


def _of_stream(content: bytes) -> Iterator[tuple[str, Value]]:
    """Every event in order, previews included."""
    counts: Counter[str] = Counter()
    for event in content.decode().split("\n\n"):
        lines = dict(line.split(": ", 1) for line in event.splitlines() if not line.startswith(":"))
        if lines:
            name = lines["event"]
            yield from _of_json_text(lines["data"].encode(), f"{name}[{counts[name]}]")
            counts[name] += 1


_DECODERS = {
    "application/json": _of_json_text,
    "application/x-npy": _of_npy,
    "application/zip": _of_zip,
    "image/png": _of_png,
    "text/csv": _of_csv,
    "text/event-stream": _of_stream,
}


def _differ(one: Value, other: Value) -> bool:
    return type(one) is not type(other) or one != other


def _told(found: Facts, where: str) -> str:
    return repr(found[where]) if where in found else "nothing"


def _answers_of(folder: Path, asked: Sequence[Asked]) -> list[Answer]:
    """Answers of a checkout's own code and checkpoints, one request at a time."""
    _check_code(folder)
    with machine.console.status(f"{folder}"), spirale(folder=folder) as (url, _):
        return asyncio.run(_ask(url, asked))


async def _ask(url: str, asked: Sequence[Asked]) -> list[Answer]:
    async with load.client(url) as http:
        return [_answer(await _send(http, one)) for one in asked]


async def _send(http: httpx.AsyncClient, one: Asked) -> httpx.Response:
    method = "GET" if one.body is None else "POST"
    return await http.request(method, one.path, json=one.body, headers={"Accept": one.accept})


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, dict(response.headers), response.content)


def _check_code(folder: Path) -> None:
    """Raises SystemExit unless Python, started there as the service is, imports that folder's own packages."""
    asking = "import model, service; print(model.__file__); print(service.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", asking],
        cwd=folder, env={**os.environ, **own_code(folder)}, capture_output=True, text=True,
    )  # fmt: skip
    files = [Path(line).resolve() for line in done.stdout.splitlines()]
    if files != [folder / "model/__init__.py", folder / "service/__init__.py"]:
        raise SystemExit(f"{folder} does not use its own code: {done.stdout}{done.stderr}")


def _table(asked: Sequence[Asked], found: Mapping[Asked, list[str]]) -> Table:
    table = Table("asked for", "requests", "equal", "different")
    groups = dict.fromkeys(one.group for one in asked)
    for name, wanted in [*((group, {group}) for group in groups), ("[bold]all[/]", set(groups))]:
        count = sum(one.group in wanted for one in asked)
        different = sum(one.group in wanted for one in found)
        table.add_row(name, str(count), str(count - different), str(different) if different else "–")
    return table
