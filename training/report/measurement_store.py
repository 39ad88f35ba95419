"""Measurements are made once, and kept by what they depend on."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.data.cache import alone_in
from training.identified_json import read_identified, write_identified
from training.report.grid import Measured, Setting


class MeasurementStore:
    """The measurements of one pipeline, in a JSON file that is written after every setting.

    Several processes may measure at a time: each adds to what the file has by then.

    identity  everything else that the metrics depend on (weights, judge, precision). A file with another identity is
              forgotten.
    """

    def __init__(self, path: Path, identity: Mapping[str, str]):
        self._path = path
        self.identity = dict(identity)
        self._metrics, self._pictures = self._read()
        self._forgotten: set[Setting] = set()  # since the file was last written
        self._forgotten_pictures: set[str] = set()

    @property
    def measured(self) -> Measured:
        return self._metrics

    @property
    def pictures(self) -> Mapping[str, str]:
        """Picture → the sampling settings that it was drawn with."""
        return self._pictures

    def __contains__(self, setting: Setting) -> bool:
        return setting in self._metrics

    def forget(self, settings: Collection[Setting]) -> None:
        """Forget these settings, so that they are measured again, and every picture.

        The file keeps them until the first new measurement."""
        self._forgotten.update(settings)
        self._forgotten_pictures.update(self._pictures)
        self._metrics = {setting: metrics for setting, metrics in self._metrics.items() if setting not in settings}
        self._pictures.clear()

    def put(self, setting: Setting, metrics: dict[str, Any]) -> None:
        with self._latest():
            self._metrics[setting] = metrics

    def has_picture(self, picture: str, sampling: str) -> bool:
        """Was the picture drawn from the same weights, with these sampling settings?"""
        return self._pictures.get(picture) == sampling

    def put_picture(self, picture: str, sampling: str) -> None:
        with self._latest():
            self._pictures[picture] = sampling

    @contextmanager
    def _latest(self) -> Iterator[None]:
        """Take what others have written, except what is forgotten here; then write it with what is changed."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with alone_in(self._path.parent):
            metrics, pictures = self._read()
            self._metrics |= {setting: metrics[setting] for setting in metrics.keys() - self._forgotten}
            self._pictures |= {name: pictures[name] for name in pictures.keys() - self._forgotten_pictures}
            yield
            self._write()
            self._forgotten.clear()
            self._forgotten_pictures.clear()

    def _read(self) -> tuple[dict[Setting, Mapping[str, Any]], dict[str, str]]:
        known = read_identified(self._path, self.identity)
        metrics = {_setting(entry["setting"]): entry["metrics"] for entry in known.get("measurements", [])}
        return metrics, known.get("pictures", {})

    def _write(self) -> None:
        fields = {
            "pictures": self._pictures,
            "measurements": [
                {"setting": asdict(setting), "metrics": metrics}
                for setting, metrics in sorted(self._metrics.items(), key=lambda item: repr(item[0]))
            ],
        }
        write_identified(self._path, self.identity, fields)


def _setting(fields: Mapping[str, Any]) -> Setting:
    interval = fields.get("guidance_interval")  # JSON has lists, and settings are hashed
    return Setting(**{**fields, "guidance_interval": interval and tuple(interval)})
