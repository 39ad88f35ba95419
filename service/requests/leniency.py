"""What clients write in other ways than the fields' types have it, and mean the same by."""

import re
from typing import Any

from pydantic import JsonValue
from pydantic_core import PydanticCustomError

from model.noise import MAX_SEED

# Far more than there are. An error for each of a million would take seconds of the event loop, and gigabytes.
MAX_FIELDS = 100
EXACT = 2**53  # below it no two whole numbers are the same float
DRAWN = (-1, "-1", "")  # what other services take for: draw a seed
SEED_SCHEMA: dict[str, JsonValue] = {
    "anyOf": [
        {"type": "integer", "minimum": -1, "maximum": MAX_SEED},
        {"type": "string", "pattern": "^([0-9]{1,19}|-1)?$"},
        {"type": "null"},
    ]
}
"""What is taken for a seed that may be drawn, in JSON Schema."""
GIVEN_SEED_SCHEMA: dict[str, JsonValue] = {
    "anyOf": [
        {"type": "integer", "minimum": 0, "maximum": MAX_SEED},
        {"type": "string", "pattern": "^[0-9]{1,19}$"},
    ]
}
"""What is taken for a seed that has to be there."""
DIGITS = re.compile(r"[0-9]{1,19}")


def whole_numbers(fields: dict[str, Any]) -> dict[str, Any]:
    """JSON has one kind of number: 2.0 and 2e0 are 2, alone or in a list."""
    return {
        name: [whole(one) for one in value] if isinstance(value, list) else whole(value)
        for name, value in fields.items()
    }


def whole(value: Any) -> Any:
    """The whole number that a float without a fraction is; anything else as it is."""
    return int(value) if isinstance(value, float) and abs(value) < EXACT and value.is_integer() else value


def whole_number(value: Any) -> Any:
    """The number that a text of digits, or a float without a fraction, stands for; anything else as it is."""
    return int(value) if isinstance(value, str) and DIGITS.fullmatch(value) else whole(value)


def as_meant(fields: Any) -> Any:
    """A body's fields in the types that they stand for; anything but an object as it is. Raises PydanticCustomError
    where there are far too many."""
    refuse_too_many(fields)
    return seed_in_other_words(whole_numbers(fields)) if isinstance(fields, dict) else fields


def refuse_too_many(fields: Any) -> Any:
    """A body as it is. Raises PydanticCustomError where it, or a field of it, has far too many fields."""
    if isinstance(fields, dict):
        _refuse_more(len(fields), MAX_FIELDS, "")
        for name, value in fields.items():
            if isinstance(value, dict) and name != "label":  # counts by class, of which there may be any number
                _refuse_more(len(value), MAX_FIELDS, f" in {name[:40]}")
    return fields


def _refuse_more(n: int, most: int, where: str) -> None:
    if n > most:
        raise PydanticCustomError("too_many_fields", "there are {n} fields{where}; see /docs", {"n": n, "where": where})


def seed_in_other_words(fields: dict[str, Any]) -> dict[str, Any]:
    """Without the seed where it says that one is to be drawn. A seed as a text of digits is that number: JavaScript's
    own numbers are exact up to 2⁵³ only."""
    seed = fields.get("seed")
    if isinstance(seed, str) and DIGITS.fullmatch(seed):
        return {**fields, "seed": int(seed)}
    if isinstance(seed, int | str) and seed in DRAWN:
        return {name: value for name, value in fields.items() if name != "seed"}
    return fields


def without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """A form sends its empty fields too: in a query string such a one is not there."""
    return {
        name: value
        for name, value in fields.items()
        if value != "" and not (isinstance(value, list) and not any(value))
    }
