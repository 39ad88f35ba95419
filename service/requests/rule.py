"""One line of a table of refusals."""

from collections.abc import Callable
from dataclasses import dataclass

from service.requests.model_choice import Choice


@dataclass(frozen=True)
class Rule:
    """A request for which `when` holds is refused for this field; `text` says what the field may be instead."""

    field: str | Callable[[Choice], str]
    when: Callable[[Choice], bool]
    text: str | Callable[[Choice], str]
