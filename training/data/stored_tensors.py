"""Tensors that take long to make: kept in the cache, by what they are made from."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from training.data.cache import alone_in, cache_dir, cache_folder, cannot_keep


class StoredTensors:
    """
    name     what they are, in a folder's name: "runs of mnist-cfg"
    made_by  all that they depend on; what its `repr` does not show does not count
    """

    def __init__(self, name: str, made_by: tuple[object, ...]):
        digest = hashlib.sha256(repr(made_by).encode()).hexdigest()[:16]
        self._name, self._folder = name, f"{name.replace(' ', '-')}-{digest}"

    @property
    def known(self) -> bool:
        return self._file.is_file()

    def get(self, make: Callable[[], Mapping[str, Tensor]]) -> dict[str, Tensor]:
        """They, made now if they are not known. Other processes that want the same wait.

        Raises DataError where they are not known and the cache cannot be written.
        """
        if not self.known:
            home = cache_folder(self._folder, self._name)
            with alone_in(home):
                if not self.known:  # another process may have made them meanwhile
                    self._write(home, make())
        return load_file(self._file)

    @property
    def _file(self) -> Path:
        return cache_dir() / self._folder / "tensors.safetensors"

    def _write(self, home: Path, tensors: Mapping[str, Tensor]) -> None:
        partial = home / "partial"
        try:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, partial)  # as the format needs
        except (OSError, SafetensorError) as error:  # a full disk
            partial.unlink(missing_ok=True)
            raise cannot_keep(self._name, home, error) from error
        partial.replace(self._file)
