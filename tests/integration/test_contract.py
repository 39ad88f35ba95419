"""/openapi.json: valid by two validators, true behind a proxy, with a place for the key, and with examples."""

import json
from pathlib import Path
from urllib.parse import urljoin

import jsonschema_rs
import openapi_spec_validator
import pytest

from service.http.middleware import OPEN_PATHS

OFFICIAL = Path(openapi_spec_validator.__file__).parent / "resources" / "schemas" / "v3.1" / "schema.json"


@pytest.fixture(scope="module")
def document(client):
    return client.get("/openapi.json").json()


def test_it_is_what_it_says_it_is(document):
    assert document["openapi"].startswith("3.1.")
    assert list(openapi_spec_validator.OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_so_another_validator_says_by_the_official_schema(document):
    validator = jsonschema_rs.validator_for(json.loads(OFFICIAL.read_text()))
    assert [str(error) for error in validator.iter_errors(document)] == []
    broken = json.loads(json.dumps(document))
    broken["paths"]["/sample"]["get"]["responses"]["200"]["content"]["text/event-stream"] = {"itemSchema": {}}
    assert not validator.is_valid(broken)  # of OpenAPI 3.2: it does look


@pytest.mark.parametrize("address", ["http://a.example/openapi.json", "https://b.example/under/a/prefix/openapi.json"])
def test_the_paths_are_beside_the_document(document, address):
    (server,) = document["servers"]
    assert urljoin(address, server["url"]) + "sample" == address.replace("openapi.json", "sample")


def test_what_wants_the_key_says_so(document):
    (name,) = document["components"]["securitySchemes"]
    assert document["components"]["securitySchemes"][name] | {"description": ""} == {
        "type": "http", "scheme": "bearer", "description": "",
    }  # fmt: skip
    assert {name: []} in document["security"]
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation.get("security") == ([] if OPEN_PATHS.fullmatch(path) else None)


def test_what_is_taken_for_a_field_is_told(document):
    """Whoever checks requests by the document refuses none that the service answers."""
    parameters = document["paths"]["/sample"]["get"]["parameters"]
    assert all(parameter["allowEmptyValue"] for parameter in parameters)
    schemas = document["components"]["schemas"]
    (linked,) = (parameter["schema"] for parameter in parameters if parameter["name"] == "seed")
    for schema in (linked, *(schemas[name]["properties"]["seed"] for name in ("SampleRequest", "ImagesRequest"))):
        for seed in (-1, 0, 3.0, 2**63 - 1, "9007199254740993", "-1", "", None):
            assert jsonschema_rs.is_valid(schema, seed), seed
        for seed in (-2, 2**64, 1.5, "1.5", True, [1]):
            assert not jsonschema_rs.is_valid(schema, seed), seed


def test_each_error_has_an_example_of_its_own_status(document):
    found = 0
    for path, operations in document["paths"].items():
        for operation in operations.values():
            for status, answer in operation["responses"].items():
                for content in answer["content"].values() if status >= "4" else ():
                    found += 1
                    schema = document["components"]["schemas"][content["schema"]["$ref"].rpartition("/")[2]]
                    assert jsonschema_rs.is_valid(schema | {"components": document["components"]}, content["example"])
                    if path.startswith("/v1"):
                        assert content["example"]["error"]["message"]
                    else:
                        assert content["example"]["status"] == int(status)
    assert found > 30


def test_a_seed_that_has_to_be_there_is_no_drawn_one(document):
    parts = document["components"]["schemas"]
    for schema in (parts["VariationsRequest"]["properties"]["seed"], parts["SampleRequest"]["properties"]["seed_to"]):
        for given, holds in ((0, True), ("7", True), (2**63 - 1, True), (-1, False), ("", False), ("-1", False)):
            assert jsonschema_rs.validator_for(schema).is_valid(given) == holds, given
