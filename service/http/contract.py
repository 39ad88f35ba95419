"""The OpenAPI document, as the framework makes it and with what the framework leaves out or gets wrong."""

from typing import Any

from fastapi import FastAPI

from service.http.middleware import OPEN_PATHS
from service.http.problems import ProblemBody

SERVERS = [{"url": ".", "description": "Where this document lies, whatever proxy is before it."}]
KEY = "key"
"""The name of the security scheme."""


def install(app: FastAPI) -> None:
    """The app's document describes problems in place of the framework's own errors, and the API key.

    The document is open to all: whether this service has a key is not told, so the key is an option there.
    """
    made = app.openapi

    def openapi() -> dict[str, Any]:
        document = made()
        _without_the_frameworks_own_errors(document)
        definition = ProblemBody.model_json_schema(ref_template="#/components/schemas/{model}")
        components = document.setdefault("components", {})
        components.setdefault("schemas", {}).update(definition.pop("$defs", {}) | {"ProblemBody": definition})
        components["securitySchemes"] = {
            KEY: {"type": "http", "scheme": "bearer", "description": "The service's API key, where it has one."}
        }
        document["security"] = [{KEY: []}, {}]
        for path, operations in document["paths"].items():
            if OPEN_PATHS.fullmatch(path):
                for operation in operations.values():
                    operation["security"] = []
        for parameter in document["paths"]["/sample"]["get"]["parameters"]:
            parameter["allowEmptyValue"] = True  # such a field is not there: see requests/leniency.py
        return document

    app.openapi = openapi  # type: ignore[method-assign]  # the framework's own way to extend it


def _without_the_frameworks_own_errors(document: dict[str, Any]) -> None:
    """FastAPI describes a 422 of its own for every route that reads something; here there is none but a problem."""
    framework = {"$ref": "#/components/schemas/HTTPValidationError"}
    for path in document["paths"].values():
        for operation in path.values():
            answer = operation["responses"].get("422", {}).get("content", {}).get("application/json", {})
            if answer.get("schema") == framework:
                del operation["responses"]["422"]
    for name in ("HTTPValidationError", "ValidationError"):
        document["components"]["schemas"].pop(name, None)
