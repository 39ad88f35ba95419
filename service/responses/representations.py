"""What was resolved and sampled → the representation that was asked for."""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NotRequired, TypedDict
from urllib.parse import quote

import numpy as np
from pydantic import BaseModel

from model.data import DataConfig
from model.measured_columns import DateColumn
from model.table import decoded, encoded_columns
from service.http.problems import UNKEPT
from service.media import encoding, plots
from service.requests.resolve import Resolved
from service.responses.sample_answers import ImageAnswer, ImagesAnswer, PointsAnswer

MAX_HEADER = 1000  # characters of a header

Encoder = Callable[[Resolved, np.ndarray, int], bytes]
"""(what was asked, `Samples.data`, zoom) → the body. Runs in a pool, off the event loop."""


def encoders(kind: str) -> Mapping[str, Encoder]:
    """The media types that samples of this kind come as, the default first."""
    return _OF_IMAGES if kind == "images" else _OF_POINTS


HEADERS: dict[str, dict[str, Any]] = {
    "X-Seed": {"description": "That of the first sample.", "schema": {"type": "string"}},
    "X-Model": {"description": "The checkpoint that answered.", "schema": {"type": "string"}},
    "X-Unknown-Words": {
        "description": "Those of the prompt that were not understood, each percent-encoded, with commas between; not "
        f"there without any. What would go beyond {MAX_HEADER} characters is left out.",
        "schema": {"type": "string"},
    },
    "X-Resized": {
        "description": "Pictures that did not fit the model and were scaled, by field, with the width and height that "
        "they had: `init.image=120x90`, with commas between; not there without any.",
        "schema": {"type": "string"},
    },
    "X-Drawn-Labels": {
        "description": "Where nothing was asked: each sample's label, drawn from the training proportions by its seed, "
        "in the samples' order, percent-encoded, with commas between; not there where labels were asked for, or none "
        f"were drawn. What would go beyond {MAX_HEADER} characters is left out.",
        "schema": {"type": "string"},
    },
}
"""What `headers` tells, for a route's OpenAPI entry."""


def headers(resolved: Resolved) -> dict[str, str]:
    """The headers of an answer in any representation."""
    fields = {"X-Seed": str(resolved.seed), "X-Model": resolved.checkpoint.config.name}
    conditioned = resolved.conditioned
    lists = {
        "X-Unknown-Words": conditioned.unknown_words,
        "X-Drawn-Labels": conditioned.labels if conditioned.drawn and conditioned.labels else (),
    }
    # Somebody who asks the same address again would like another picture.
    drawn = resolved.choice.request.seed is None
    pictures = None if resolved.beginning is None else resolved.beginning.pictures
    if pictures is not None and pictures.resized:
        fields["X-Resized"] = ", ".join(f"{name}={w}x{h}" for name, (w, h) in pictures.resized.items())
    return fields | {name: _as_header(texts) for name, texts in lists.items() if texts} | (UNKEPT if drawn else {})


def _as_header(texts: Sequence[str]) -> str:
    """Percent-encoded, with commas between; whole ones only, and no more than fit."""
    joined = ",".join(quote(text, safe="") for text in texts)
    return joined if len(joined) <= MAX_HEADER else joined[: MAX_HEADER + 1].rpartition(",")[0]


class _Record(TypedDict):
    """One sample's own fields. With the request's other parameters they give the sample again, alone."""

    label: str | None
    seed: int
    mix: NotRequired[float]


def _records(resolved: Resolved) -> list[_Record]:
    labels: Sequence[str | None] = resolved.conditioned.labels or (None,) * len(resolved.job)
    seeds = resolved.seeds.own.tolist()
    records = [_Record(label=label, seed=seed) for label, seed in zip(labels, seeds, strict=True)]
    for record, share in zip(records, resolved.parameters.get("mix", ()), strict=False):
        record["mix"] = share
    return records


def _text(resolved: Resolved, record: _Record | None = None) -> dict[str, str]:
    """A PNG's text chunks; `record` belongs to the one sample that it shows."""
    parameters = {**resolved.parameters, **({"label": resolved.conditioned.labels} if record is None else record)}
    return {
        "Software": "Spirale",
        "Seed": str(parameters["seed"]),
        "Parameters": json.dumps(parameters, ensure_ascii=False),
    }


def _pngs(resolved: Resolved, data: np.ndarray, zoom: int) -> list[bytes]:
    records = _records(resolved)
    return [encoding.png(image, _text(resolved, record), zoom) for image, record in zip(data, records, strict=True)]


def _sheet(resolved: Resolved, data: np.ndarray, zoom: int) -> bytes:
    record = _records(resolved)[0] if len(data) == 1 else None
    return encoding.contact_sheet(data, _text(resolved, record), zoom)


def _json(answer: type[BaseModel], resolved: Resolved, **samples: object) -> bytes:
    conditioned = resolved.conditioned
    words = {} if conditioned.prompt is None else {"unknown_words": list(conditioned.unknown_words)}
    drawn = {"labels_drawn": True} if conditioned.drawn else {}
    body = answer(**resolved.parameters, **words, **drawn, **samples)
    return body.model_dump_json(exclude_unset=True).encode()


def _images_json(resolved: Resolved, data: np.ndarray, zoom: int) -> bytes:
    images = [
        ImageAnswer(**record, b64_png=base64.b64encode(image).decode())
        for record, image in zip(_records(resolved), _pngs(resolved, data, zoom), strict=True)
    ]
    return _json(ImagesAnswer, resolved, images=images)


def openai_json(resolved: Resolved, data: np.ndarray, zoom: int, created: int) -> bytes:
    """As OpenAI's images API has it; `created` in seconds since 1970."""
    images = [{"b64_json": base64.b64encode(png).decode()} for png in _pngs(resolved, data, zoom)]
    return json.dumps({"created": created, "data": images}).encode()


def _images_zip(resolved: Resolved, data: np.ndarray, zoom: int) -> bytes:
    records = [{**resolved.parameters, **record} for record in _records(resolved)]
    return encoding.archive(_pngs(resolved, data, zoom), records)


def _points_json(resolved: Resolved, data: np.ndarray, zoom: int) -> bytes:
    points = data.astype(str).astype(float).tolist()  # 0.1, not the 0.10000000149011612 that float32 is in float64
    config, labels = resolved.checkpoint.config.data, resolved.conditioned.labels
    samples: dict[str, object] = {"columns": list(config.columns), "points": points, "labels": labels}
    if config.table:
        table = decoded(config.table, data, labels)
        rows = [list(row) for row in zip(*table.values(), strict=True)]
        samples["table"] = {"columns": list(table), "rows": rows}
    return _json(PointsAnswer, resolved, **samples)


def encode_preview(resolved: Resolved, x0: np.ndarray, zoom: int) -> dict[str, object]:
    """x̂0 on the way, as `Samples.data` has it: JSON-plain, a picture of all images or the points themselves."""
    if resolved.checkpoint.config.data.kind == "points":
        return {"points": x0.tolist()}
    return {"b64_png": base64.b64encode(encoding.contact_sheet(x0, {}, zoom)).decode()}


def _npy(resolved: Resolved, data: np.ndarray, zoom: int) -> bytes:
    return encoding.npy(data)


def _csv(resolved: Resolved, data: np.ndarray, zoom: int) -> bytes:
    config, labels = resolved.checkpoint.config.data, resolved.conditioned.labels
    if config.table:
        table = decoded(config.table, data, labels)
        return encoding.csv_of(table, zip(*table.values(), strict=True))
    return encoding.table(data, config.columns, labels)


def _plot(resolved: Resolved, data: np.ndarray, zoom: int) -> bytes:
    of, text = resolved.checkpoint.config.data, _text(resolved)
    named = resolved.conditioned.labels is not None  # clusters are not shown
    classes = resolved.job.conditions.label.clamp(min=0).numpy() if named else np.zeros(len(data), np.int64)
    names = of.names and [_axis_name(of, axis) for axis in resolved.axes]
    if len(resolved.axes) == 1:
        return plots.histogram(data, classes, text, *names)
    return plots.scatter(data[:, resolved.axes], classes, text, names or ("", ""), equal=of.one_unit)


def _axis_name(data: DataConfig, axis: int) -> str:
    """Of a dimension that has a name. Numbers of days mean nothing without the date that they are counted from."""
    for column, place in encoded_columns(data.table):
        if isinstance(column, DateColumn) and place.start == axis:
            return f"{column.name} (days since {column.origin.removesuffix('T00:00:00')})"
    return data.names[axis]


_OF_IMAGES: Mapping[str, Encoder] = {
    "image/png": _sheet,
    "application/json": _images_json,
    "application/zip": _images_zip,
    "application/x-npy": _npy,
}
_OF_POINTS: Mapping[str, Encoder] = {
    "application/json": _points_json,
    "image/png": _plot,
    "application/x-npy": _npy,
    "text/csv": _csv,
}
