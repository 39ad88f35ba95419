"""Whose turn it is: keys share a device by start-time fair queueing (Goyal 1996), in device-seconds."""

from collections.abc import Mapping


class FairShares:
    """Every key has a tag, the device-seconds that it used for each unit of its share. The lowest tag is served next.

    A key that was idle begins at the tag of the one that is served: it saved nothing up, and lost nothing.
    """

    def __init__(self) -> None:
        self._tags: dict[str, float] = {}
        self._shares: dict[str, float] = {}
        self._now = 0.0  # the tag of the key that was served last

    def add(self, key: str, share: float, *, was_idle: bool) -> None:
        """The key has one job more; `was_idle`: it had none."""
        if was_idle:
            self._tags[key] = max(self._tags.get(key, 0.0), self._now)
        self._shares[key] = share

    def tag(self, key: str) -> float:
        return self._tags[key]

    def serve(self, key: str) -> None:
        """It is this key's turn."""
        self._now = max(self._now, self._tags[key])

    def charge(self, seconds: Mapping[str, float]) -> None:
        """Device-seconds that were used, by key."""
        for key, used in seconds.items():
            self._tags[key] += used / self._shares[key]
