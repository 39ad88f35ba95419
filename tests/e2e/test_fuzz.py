"""Whatever is asked is answered as the OpenAPI document says: schemathesis, all its checks, over the real process."""

import base64
import copy
import json
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import pytest
import schemathesis
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.generation import GenerationMode

from model.checkpoints.base import save_checkpoint
from service.media import encoding
from tests.tiny import (
    IMAGES,
    POINTS,
    save_tiny,
    tiny_checkpoint,
    tiny_classifier,
    tiny_clip,
    tiny_control,
    tiny_text_checkpoint,
)

pytestmark = pytest.mark.slow

T = 4  # and so no request has more steps
KEY = {"Authorization": "Bearer sesame"}
EXAMPLES = {"POST /sample": 10_000, "GET /sample": 5_000, "POST /v1/images/generations": 5_000}
OF_OTHERS = 500  # at most: where nothing is read there is one
ALL = 20_000

# What is right by itself may still be refused: no such class, a field that does not go with another, a full queue.
# What is wrong may also be too large.
CONFIG = SchemathesisConfig.from_dict(
    {
        "checks": {
            "positive_data_acceptance": {"expected-statuses": ["2xx", "400", "404", "406", "422", "429"]},
            "negative_data_rejection": {"expected-statuses": ["400", "404", "406", "413", "422", "429"]},
        }
    }
)
ACCEPT = [
    "*/*",
    "application/json",
    "image/png",
    "application/zip",
    "application/x-npy",
    "text/csv",
    "text/event-stream",
]

DRAWING = base64.b64encode(encoding.png(np.eye(20, dtype=np.uint8) * 255, {})).decode()
NOTHING = {"type": "null"}
LABEL = {"enum": [*range(10), "3", "inner"]}
# What random text and numbers would find once in a million: requests that have an answer.
SENSIBLE = {
    "dataset": {"enum": ["mnist", "spiral"]},
    "model": {"anyOf": [{"enum": ["mnist-cfg", "mnist-ddpm", "mnist-text-cfg", "spiral-tiny"]}, NOTHING]},
    "label": {"anyOf": [LABEL, {"type": "array", "items": LABEL, "maxItems": 4}, NOTHING]},
    "prompt": {"anyOf": [{"enum": ["thin seven", "the digit 3"]}, {"type": "string", "minLength": 1, "maxLength": 9}]},
    "n": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 4}, NOTHING]},
    "steps": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": T}, NOTHING]},
    "image": {"enum": [DRAWING, "AAAA"]},
    "size": {"enum": ["auto", "8x8", "128x128", "1x1"]},
}  # fmt: skip


def save_one_of_each(folder: Path) -> None:
    """Every kind of checkpoint, with random weights."""
    without_labels = IMAGES.model_copy(update={"labels": ()})
    base = tiny_checkpoint(IMAGES, "mnist-cfg", T=T)
    plain = tiny_checkpoint(without_labels, "mnist-ddpm", T=T, learned_variance=True)
    text, clip = tiny_text_checkpoint(IMAGES, T=T), tiny_clip(IMAGES, T=T)
    for reads_text in (text, clip):
        save_checkpoint(folder / reads_text.config.name, reads_text.config, reads_text.network, reads_text.text)
    for one in (base, plain, tiny_classifier(IMAGES, T=T), tiny_control(base, "canny"), tiny_control(base, "sketch")):
        save_checkpoint(folder / one.config.name, one.config, one.network)
    save_tiny(folder, POINTS, T=T)


def sensible(document: dict) -> dict:
    """The same contract for somebody who knows what there is to ask for."""
    document = copy.deepcopy(document)
    schemas = document["components"]["schemas"]
    # An answer has a `control` of its own to tell of.
    schemas["ControlAsked"] = copy.deepcopy(schemas["ControlRequest"])
    asked = json.dumps(schemas["SampleRequest"]).replace("/ControlRequest", "/ControlAsked")
    schemas["SampleRequest"] = json.loads(asked)
    for name in ("SampleRequest", "ControlAsked", "ImagesRequest"):
        fields = schemas[name]["properties"]
        fields |= {field: SENSIBLE[field] for field in fields.keys() & SENSIBLE.keys()}
    for parameter in document["paths"]["/sample"]["get"]["parameters"]:
        if parameter["name"] in SENSIBLE and parameter["name"] != "label":
            parameter["schema"] = SENSIBLE[parameter["name"]]
    return document


def is_sent(value: object) -> bool:
    """An empty list in a query, or one of nothing else, does not arrive: what arrives is right without it."""
    return any(map(is_sent, value)) if isinstance(value, list | dict) else value is not None


def arrives_as_it_is(case: schemathesis.Case) -> bool:
    """Does the case still have on the wire what is wrong with it? A form has a list as a field that comes as often as
    the list is long: one of one value is that value."""
    fields = case.body.values() if case.media_type == "multipart/form-data" and isinstance(case.body, dict) else ()
    return not any(isinstance(value, list) for value in fields) and all(
        value is None or is_sent(value) for value in (case.query or {}).values()
    )


def fuzz(url: str, asked: st.SearchStrategy[schemathesis.Case], examples: int) -> Counter:
    """How often each status was answered."""
    statuses = Counter()

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        print_blob=True,
    )
    @given(case=asked, accept=st.sampled_from(ACCEPT))
    def holds(case, accept):
        assume(arrives_as_it_is(case))
        answer = case.call_and_validate(base_url=url, headers=KEY | {"Accept": accept})
        statuses[answer.status_code] += 1

    holds()
    return statuses


def test_whatever_is_asked_is_answered_as_documented(start_service, tmp_path):
    save_one_of_each(tmp_path)
    service = start_service("--checkpoints", str(tmp_path), "--log-format", "json", "--api-key", "sesame")
    service.wait_until_ready()
    document = httpx.get(f"{service.url}/openapi.json", headers=KEY).json()
    right = schemathesis.openapi.from_dict(sensible(document), config=CONFIG)
    wrong = schemathesis.openapi.from_dict(document, config=CONFIG)
    statuses: dict[str, Counter] = {}
    for path, operations in document["paths"].items():
        for method in operations:
            name = f"{method.upper()} {path}"
            asked = st.one_of(
                right[path][method].as_strategy(generation_mode=GenerationMode.POSITIVE),
                wrong[path][method].as_strategy(generation_mode=GenerationMode.NEGATIVE),
            )
            statuses[name] = fuzz(service.url, asked, EXAMPLES.get(name, OF_OTHERS))
            print(name, dict(statuses[name]))  # shown when something fails

    for name, examples in EXAMPLES.items():
        assert statuses[name][200] > examples / 50, f"{name}: hardly anything was asked that has an answer"
    assert sum(map(Counter.total, statuses.values())) >= ALL
    assert service.popen.poll() is None
    assert not [line for line in service.log if json.loads(line)["level"] in ("error", "critical")]
