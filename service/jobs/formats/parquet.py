"""Parquet as Hugging Face's `datasets` writes it: images as {bytes, path}, labels as ClassLabel with their names."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from model.measured_columns import Cell, DateColumn, NumberColumn
from model.table import LabelColumn, TableColumn
from service.jobs.formats.shard import Shard

GROUP_ROWS = 1024  # of images in a row group, so that a reader of a few need not load a whole file
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def write(shard: Shard) -> Mapping[str, bytes]:
    """Columns: image, or one for each dimension of points; then label, prompt and seed where there are such."""
    columns: dict[str, pa.Array] = {}
    features: dict[str, dict[str, Any]] = {}
    if shard.table:
        for column in shard.table:
            if column.name in shard.cells:
                columns[column.name] = _cells(column, shard.cells[column.name])
                dtype = str(columns[column.name].type).removesuffix("[day]")  # `datasets` calls date32[day] date32
                features[column.name] = {"dtype": dtype, "_type": "Value"}
    elif shard.columns:
        for index, name in enumerate(shard.columns):
            columns[name] = pa.array(np.ascontiguousarray(shard.data[:, index]))
            features[name] = {"dtype": str(shard.data.dtype), "_type": "Value"}
    else:
        images = [{"bytes": png, "path": f"{stem}.png"} for stem, png in zip(shard.stems(), shard.pngs(), strict=True)]
        columns["image"] = pa.array(images, IMAGE)
        features["image"] = {"_type": "Image"}
    if shard.classes is not None and not shard.table:
        label = shard.own_column("label")
        columns[label] = pa.array(shard.classes)
        features[label] = {"names": list(shard.names), "_type": "ClassLabel"}
    if shard.prompt is not None:
        prompt = shard.own_column("prompt")
        columns[prompt] = pa.array([shard.prompt] * len(shard), pa.string())
        features[prompt] = {"dtype": "string", "_type": "Value"}
    seed = shard.own_column("seed")
    columns[seed] = pa.array(shard.seeds)
    features[seed] = {"dtype": "int64", "_type": "Value"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    table = pa.table(columns).replace_schema_metadata(metadata)
    sink = pa.BufferOutputStream()
    small = [name for name in columns if name != "image"]  # of images the least and the most would be two more images
    pq.write_table(
        table,
        sink,
        write_statistics=small,
        use_dictionary=small,
        row_group_size=None if shard.columns else GROUP_ROWS,
        compression="zstd" if shard.columns else "none",  # PNGs are compressed already
    )
    return {".parquet": sink.getvalue().to_pybytes()}


def _cells(column: TableColumn, cells: Sequence[Cell]) -> pa.Array:
    """In the type of the table's column, also where there is no row; a missing value is null."""
    if isinstance(column, NumberColumn):
        return pa.array(cells, pa.int64() if column.whole else pa.float64())
    if isinstance(column, DateColumn):
        dates = [None if cell is None else datetime.strptime(str(cell), column.format) for cell in cells]
        return pa.array(dates, pa.timestamp("s")).cast(pa.timestamp("s") if "%H" in column.format else pa.date32())
    if isinstance(column, LabelColumn):
        return pa.array(cells, {"text": pa.string(), "whole": pa.int64(), "boolean": pa.bool_()}[column.written])
    return pa.array(cells, pa.bool_() if column.boolean else pa.string())
