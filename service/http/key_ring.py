"""The API keys that requests come with: one from the settings, any number from a file that is read again on SIGHUP."""

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

from fastapi import Request

from service.engine.key import ANYBODY, Allowance, Key
from service.key_file import OF_SETTINGS, KeyEntry, KeysError, digest_of, read_keys

CALLER = "spirale.caller"
"""In the scope of a request that came with a key."""


@dataclass(frozen=True, eq=False)
class Caller:
    """Who asks.

    key    that the engine counts the work for
    owner  whose jobs they see
    admin  may they have the checkpoints read again?
    """

    key: Key = ANYBODY
    owner: str = ""
    admin: bool = False


ANYONE = Caller()


class KeyRing:
    """The keys of now. Without any, nobody is asked for one."""

    def __init__(self, api_key: str | None = None, path: Path | None = None):
        """Raises KeysError for a file that cannot be used."""
        self._path = path
        self._of_settings = {} if api_key is None else {digest_of(api_key.encode()): _of_settings(api_key)}
        self._callers = self._of_settings
        self._key_of_owner: dict[str, Key] = {}  # also of keys that have gone since
        self.reload()

    def __bool__(self) -> bool:
        return bool(self._callers)

    def reload(self) -> None:
        """Read the file again. Keys that it no longer has are refused from now on; what a name has used is not
        forgotten. Raises KeysError, and then all stays as it is."""
        if self._path is not None:
            before = {key.name: key for key in self._key_of_owner.values()}
            read = {entry.digest: _caller(entry, before.get(entry.name)) for entry in read_keys(self._path)}
            if same := [read[digest].key.name for digest in self._of_settings if digest in read]:
                raise KeysError(f"{self._path}: the key of {same[0]} is that of --api-key, too: give it another")
            self._callers = self._of_settings | read
        self._key_of_owner |= {caller.owner: caller.key for caller in self._callers.values()}

    def find(self, given: bytes) -> Caller | None:
        """Whose key that is, in a time that does not tell how much of it was right."""
        digest, found = digest_of(given), None
        for known, caller in self._callers.items():
            if hmac.compare_digest(known, digest):
                found = caller
        return found

    def of_owner(self, owner: str) -> Key:
        """Whose jobs these are. Those of a key that has gone since the start keep its rate; others are nobody's."""
        return self._key_of_owner.get(owner, ANYBODY)


def caller_of(request: Request) -> Caller:
    """Who asks; anybody, where no key is asked for."""
    caller: Caller = request.scope.get(CALLER, ANYONE)
    return caller


def _of_settings(api_key: str) -> Caller:
    owner = hashlib.sha256(b"spirale jobs " + api_key.encode()).hexdigest()[:32]
    return Caller(Key(OF_SETTINGS), owner, admin=True)


def _caller(entry: KeyEntry, before: Key | None) -> Caller:
    """Jobs belong to the name, so that a new key under it sees them."""
    allowance = None if before is None else before.allowance
    if entry.rate is None:
        allowance = None
    elif allowance is None:
        allowance = Allowance(entry.rate)
    else:
        allowance.changed(entry.rate)
    owner = hashlib.sha256(b"spirale jobs of " + entry.name.encode()).hexdigest()[:32]
    return Caller(Key(entry.name, entry.share, allowance), owner, entry.admin)
