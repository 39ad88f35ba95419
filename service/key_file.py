"""A file of API keys, in TOML or JSON: read, checked, and refused where others may read it."""

import hashlib
import json
import os
import re
import stat
import tomllib
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

OF_SETTINGS = "api-key"
"""The name of the key that the settings have."""
EXAMPLE = '[[keys]], name = "alice", key = "…" or sha256 = "…", and if wanted rate, share, admin'

Positive = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]


class KeysError(ValueError):
    """A file of keys that cannot be used, and what to do."""


class KeyEntry(BaseModel):
    """A key in the file.

    rate   device-seconds a minute; None: as much as there is
    share  of a busy device, against the shares of the other keys that have work
    admin  may it have the checkpoints read again?
    """

    model_config = ConfigDict(extra="forbid", strict=True, hide_input_in_errors=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    key: str | None = Field(None, min_length=1, max_length=1000)
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    rate: Positive | None = None
    share: Positive = 1.0
    admin: bool = False

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        if (self.key is None) == (self.sha256 is None):
            raise ValueError("give either key or sha256")
        if self.name == OF_SETTINGS:
            raise ValueError(f"{OF_SETTINGS} is the name of the key that the settings have")
        return self

    @property
    def digest(self) -> bytes:
        return digest_of(self.key.encode()) if self.key is not None else bytes.fromhex(self.sha256 or "")


class KeyFile(BaseModel):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)

    keys: list[KeyEntry] = Field(min_length=1)

    @model_validator(mode="after")
    def _all_differ(self) -> Self:
        names = Counter(entry.name for entry in self.keys)
        if twice := [name for name, times in names.items() if times > 1]:
            raise ValueError(f"{twice[0]} is there twice")
        of_digest: dict[bytes, str] = {}
        for entry in self.keys:
            if entry.digest in of_digest:
                raise ValueError(f"{of_digest[entry.digest]} and {entry.name} have the same key")
            of_digest[entry.digest] = entry.name
        return self


def read_keys(path: Path) -> list[KeyEntry]:
    """The keys of a file in TOML, or in JSON if its name ends so. Raises KeysError."""
    try:
        with path.open("rb") as file:
            _need_private(path, os.fstat(file.fileno()))
            content: Any = json.load(file) if path.suffix == ".json" else tomllib.load(file)
    except OSError as error:
        raise KeysError(f"{path} cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        if isinstance(error, KeysError):
            raise
        form = "JSON" if path.suffix == ".json" else "TOML"
        place = re.search(r"line \d+,? column \d+", str(error))  # alone: the rest of the error may quote a key
        told = f"{path} is not {form}" + (f" at {place[0]}" if place else "")
        raise KeysError(f"{told}; an entry has {EXAMPLE}") from None
    try:
        return KeyFile.model_validate(content).keys
    except ValidationError as error:
        told = "; ".join(f"{'.'.join(map(str, one['loc'])) or 'the file'}: {_message(one)}" for one in error.errors())
        raise KeysError(f"{path}: {told}; an entry has {EXAMPLE}") from None


def _need_private(path: Path, status: os.stat_result) -> None:
    """Raises KeysError where others may read or write the file. Who does not own it, as in a container with a mounted
    secret, can read it only through its group."""
    others = stat.S_IRWXO | (stat.S_IRWXG if status.st_uid == os.geteuid() else stat.S_IWGRP)
    if status.st_mode & others:
        raise KeysError(f"{path} has keys, and others may read or write it: chmod 600 {path}")


def _message(error: Any) -> str:
    return str(error["msg"]).removeprefix("Value error, ")


def digest_of(key: bytes) -> bytes:
    """What is kept of a key and compared."""
    return hashlib.sha256(key).digest()
