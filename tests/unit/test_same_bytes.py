"""`python -m benchmarks same-bytes` finds what differs between two answers, and only that."""

import base64
import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from benchmarks.requests import STREAM, Asked, every_request
from benchmarks.same_bytes import Answer, differences, unasked
from model.samplers import SAMPLERS
from service.checkpoints.folder import catalog_of, served_folder
from service.requests.resolve import resolve
from service.requests.schemas import SampleRequest

CHECKPOINTS = Path(__file__).parents[2] / "checkpoints"
PIXELS = np.arange(12, dtype=np.uint8).reshape(3, 4)


def changed(pixels: np.ndarray) -> np.ndarray:
    """One pixel is one brighter."""
    other = pixels.copy()
    other[1, 2] += 1
    return other


def png(pixels: np.ndarray, parameters: Mapping | None = None, level: int = 6) -> bytes:
    info, buffer = PngInfo(), io.BytesIO()
    info.add_itxt("Parameters", json.dumps(parameters or {"seed": 3}))
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info, compress_level=level)
    return buffer.getvalue()


def text_of(content: bytes) -> str:
    return base64.b64encode(content).decode()


def answered(content: bytes, kind: str, status: int = 200, **headers: str) -> Answer:
    return Answer(status, {"content-type": kind, **headers}, content)


def as_json(fields: Mapping) -> Answer:
    return answered(json.dumps(fields).encode(), "application/json")


def as_stream(*events: tuple[str, Mapping]) -> Answer:
    told = "".join(f"event: {name}\ndata: {json.dumps(data)}\n\n" for name, data in events)
    return answered((": still at it\n\n" + told).encode(), "text/event-stream")


def archived(pixels: np.ndarray, seed: int) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("0000.png", png(pixels))
        archive.writestr("metadata.jsonl", json.dumps({"file_name": "0000.png", "seed": seed}) + "\n")
    return buffer.getvalue()


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def places(one: Answer, other: Answer) -> list[str]:
    """Where they differ."""
    return [difference.split(": ")[0] for difference in differences(one, other)]


def test_the_same_pixels_may_be_compressed_otherwise():
    one, other = (answered(png(PIXELS, level=level), "image/png") for level in (0, 9))
    assert one.content != other.content
    assert differences(one, other) == []


def test_one_pixel_is_found_wherever_the_picture_is():
    one, other = png(PIXELS), png(changed(PIXELS))
    assert places(answered(one, "image/png"), answered(other, "image/png")) == ["png.pixels"]
    for name in ("b64_png", "b64_json"):
        inside = [as_json({"images": [{name: text_of(picture)}]}) for picture in (one, other)]
        assert places(*inside) == [f"images[0].{name}.pixels"]
    archives = [answered(archived(pixels, 3), "application/zip") for pixels in (PIXELS, changed(PIXELS))]
    assert places(*archives) == ["0000.png.pixels"]


def test_what_a_picture_says_of_itself_is_compared():
    one, other = (answered(png(PIXELS, {"seed": seed}), "image/png") for seed in (3, 4))
    assert places(one, other) == ["png.Parameters.seed"]
    archives = [answered(archived(PIXELS, seed), "application/zip") for seed in (3, 4)]
    assert places(*archives) == ["metadata.jsonl[0].seed"]


def test_a_renamed_field_is_compared_by_its_value():
    old, new = {"models": [{"reads": "label"}]}, {"models": [{"conditioning": "label"}]}
    assert differences(as_json(new), as_json(old)) == []
    new["models"][0]["conditioning"] = "text"
    assert differences(as_json(new), as_json(old)) == ["models[0].conditioning: 'text', there 'label'"]


def test_a_field_that_was_split_into_two_is_compared_as_their_union():
    old = {"engine": {"helpers": {"classifier": [4], "canny": [8]}}}
    new = {"engine": {"guidance_models": {"classifier": [4]}, "controlnets": {"canny": [8]}}}
    assert differences(as_json(new), as_json(old)) == []
    new["engine"]["controlnets"]["canny"] = [4]
    assert places(as_json(new), as_json(old)) == ["engine.helpers.canny[0]"]


def test_a_missing_an_added_and_a_changed_field_are_found():
    whole = {"seed": 3, "eta": 0.5, "labels": ["a", "b"]}
    assert differences(as_json({"seed": 3, "labels": ["a", "b"]}), as_json(whole)) == ["eta: nothing, there 0.5"]
    assert differences(as_json(whole | {"steps": 4}), as_json(whole)) == ["steps: 4, there nothing"]
    assert places(as_json(whole | {"labels": ["a"]}), as_json(whole)) == ["labels.length", "labels[1]"]
    assert places(as_json(whole | {"seed": 3.0}), as_json(whole)) == ["seed"]


def test_a_field_that_one_version_lacks_is_null_there():
    assert differences(as_json({"seed": 3, "eta": None}), as_json({"seed": 3})) == []
    assert places(as_json({"seed": 3, "eta": None}), as_json({"seed": 3, "eta": 0.0})) == ["eta"]


def test_what_is_measured_is_not_compared():
    one, other = ({"created": time, "timings": {"queue": time}, "seed": 3} for time in (1, 2))
    assert differences(as_json(one), as_json(other)) == []


@pytest.mark.parametrize("fields", [{"points": [[0.5, 1.0]]}, {"b64_png": text_of(png(PIXELS))}])
def test_a_changed_preview_is_found(fields):
    other = {"points": [[0.5, 1.0000001]]} if "points" in fields else {"b64_png": text_of(png(changed(PIXELS)))}
    preview, result = ("progress", {"step": 1, "of": 3} | fields), ("result", {"seed": 3})
    later = ("progress", {"step": 2, "of": 3} | fields)
    changed_later = ("progress", {"step": 2, "of": 3} | other)
    whole = as_stream(preview, later, result)
    assert differences(as_stream(preview, later, result), whole) == []
    (place,) = places(as_stream(preview, changed_later, result), whole)
    assert place.startswith("progress[1].")
    assert {place.split(".")[0] for place in places(as_stream(preview, result), whole)} == {"progress[1]"}


def test_numbers_of_an_array_and_of_a_table_are_compared():
    points = np.array([[0.5, 1.0], [2.0, 3.0]], np.float32)
    nearly = points.copy()
    nearly[1, 0] = np.nextafter(nearly[1, 0], np.float32(9))
    kind = "application/x-npy"
    assert places(answered(npy(nearly), kind), answered(npy(points), kind)) == ["array"]
    assert places(answered(npy(points.astype(np.float64)), kind), answered(npy(points), kind)) == ["array"]

    table = b"x,y,label\r\n0.5,1.0,a\r\n2.0,3.0,b\r\n"
    same, other_number, other_label = (
        table.replace(b"1.0", b"1.00"),
        table.replace(b"3.0", b"3.1"),
        b"c".join(table.rsplit(b"b", 1)),
    )
    found = [
        places(answered(one, "text/csv"), answered(table, "text/csv")) for one in (same, other_number, other_label)
    ]
    assert found == [[], ["y"], ["label"]]


def test_headers_are_compared():
    one, other = (answered(npy(PIXELS), "application/x-npy", **{"x-seed": seed}) for seed in ("1", "2"))
    assert places(one, other) == ["headers.x-seed"]


def test_two_refusals_prove_nothing():
    refused = answered(b"{}", "application/problem+json", status=422)
    assert places(refused, refused) == ["status 422, there 422"]


def test_every_shipped_model_sampler_and_field_is_asked_for_and_every_request_has_its_own_name():
    asked = every_request()
    configs = [json.loads(path.read_text()) for path in CHECKPOINTS.glob("*/config.json")]
    denoisers = {config["name"] for config in configs if config["role"] == "denoiser"}
    assert denoisers
    assert denoisers <= {one.body.get("model") for one in asked if one.body is not None}
    controls = {
        (config["base"]["name"], "mask" if config["hint"] == "inpainting" else config["hint"])
        for config in configs
        if config["role"] == "control"
    }
    bodies = [one.body for one in asked if one.body is not None]
    hints = {(body.get("model"), body["control"]["kind"]) for body in bodies if "control" in body}
    assert controls and controls <= hints | {(body.get("model"), "mask") for body in bodies if "mask" in body}
    assert {body.get("sampler") for body in bodies} >= SAMPLERS.keys()
    assert {field for body in bodies for field in body} >= SampleRequest.model_fields.keys()
    assert len({one.group + one.name for one in asked}) == len(asked) >= 80
    assert [one.name for one in asked] == [one.name for one in every_request()]


def test_no_request_is_refused_and_no_answer_depends_on_the_clock():
    catalog = catalog_of(served_folder(CHECKPOINTS))
    for one in every_request():
        if one.path == "/sample" and one.body is not None:
            resolve(catalog, SampleRequest(**one.body))
            previewed = one.accept == STREAM and one.body.get("previews") != 0
            assert not previewed or one.body["n"] == 1, "the clock says which rows of several are ahead in a preview"


def test_a_model_and_a_sampler_that_nothing_asks_for_are_named():
    models = {
        "samplers": {"ddim": {}, "heun": {}, "only-here": {}},
        "datasets": {"d": {"models": [{"name": "known"}, {"name": "new"}]}},
    }
    older = {"datasets": {"d": {"models": models["datasets"]["d"]["models"], "samplers": ["ddim", "heun"]}}}
    asked = [Asked("group", "/sample", {"model": "known", "sampler": "ddim"})]
    assert unasked(models, older, asked) == unasked(older, models, asked) == ["heun", "new"]
