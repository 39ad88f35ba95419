"""The samplers, one module each. A module here that defines `SPEC` is a sampler; nothing else has to name it."""

from collections.abc import Mapping
from importlib import import_module
from pkgutil import iter_modules
from types import MappingProxyType
from typing import Annotated

from pydantic import AfterValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from model.sampler_spec import OptionName, SamplerSpec


def _discovered() -> dict[str, SamplerSpec]:
    specs: list[SamplerSpec] = [import_module(f"{__name__}.{module.name}").SPEC for module in iter_modules(__path__)]
    return {spec.name: spec for spec in sorted(specs, key=lambda spec: spec.name)}


SAMPLERS: Mapping[str, SamplerSpec] = MappingProxyType(_discovered())
"""Name → sampler, in the order of the names."""


def samplers_with(option: OptionName) -> tuple[str, ...]:
    """Names of the samplers that take this option."""
    return tuple(name for name, spec in SAMPLERS.items() if spec.takes(option))


def _known(name: str) -> str:
    if name not in SAMPLERS:
        raise PydanticCustomError("unknown_sampler", "use one of {names}", {"names": ", ".join(SAMPLERS)})
    return name


Sampler = Annotated[str, AfterValidator(_known), WithJsonSchema({"type": "string", "enum": list(SAMPLERS)})]
"""The name of a sampler, as a field of a pydantic model: validated, and an enum in JSON schema."""
