"""Fields that had another name once: an error names the new one."""

from collections.abc import Mapping

from pydantic_core import ErrorDetails

RENAMED: Mapping[str, str] = {"preferred": "default_for_prompts"}
"""Old name → new name, of fields in recipes and in config.json."""


def explained(error: ErrorDetails) -> str:
    """The message of one of `ValidationError.errors()`; for the old name of a field, the new name instead."""
    old = error["loc"][-1] if error["loc"] else None
    if error["type"] == "extra_forbidden" and isinstance(old, str) and old in RENAMED:
        return f"this field is called {RENAMED[old]} now"
    return error["msg"]
