"""A folder of checkpoints → those that load, by name, and the reason for every other one."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from model.checkpoints.autoguidance import AutoguidanceCheckpoint
from model.checkpoints.config import CONFIG, read_role
from model.checkpoints.control import ControlCheckpoint
from model.checkpoints.denoiser import DenoiserCheckpoint
from model.checkpoints.guidance_model import GuidanceCheckpoint, GuidanceModel
from model.checkpoints.roles import LOADERS, ServedCheckpoint
from model.checkpoints.weights import CheckpointError


@dataclass(frozen=True, eq=False)
class CheckpointFolder:
    """The checkpoints of every role in `LOADERS`; other roles are passed over.

    loaded   by the name in config.json
    folders  by the same name: the name of its folder within the folder
    refused  by the name of the folder within the folder: why it was not loaded
    """

    loaded: Mapping[str, ServedCheckpoint]
    folders: Mapping[str, str]
    refused: Mapping[str, str]

    @property
    def denoisers(self) -> list[DenoiserCheckpoint]:
        return [one for one in self.loaded.values() if isinstance(one, DenoiserCheckpoint)]

    @property
    def controls(self) -> list[ControlCheckpoint]:
        return [one for one in self.loaded.values() if isinstance(one, ControlCheckpoint)]

    @property
    def guidance_models(self) -> list[GuidanceModel]:
        return [one for one in self.loaded.values() if isinstance(one, GuidanceCheckpoint)]

    @property
    def weak_networks(self) -> list[AutoguidanceCheckpoint]:
        return [one for one in self.loaded.values() if isinstance(one, AutoguidanceCheckpoint)]

    def without_base(self) -> list[ControlCheckpoint | AutoguidanceCheckpoint]:
        """ControlNets and weak networks whose denoiser is not there, or has other weights by now."""
        denoisers = self.denoisers
        bound: list[ControlCheckpoint | AutoguidanceCheckpoint] = [*self.controls, *self.weak_networks]
        return [one for one in bound if not any(one.fits(denoiser) for denoiser in denoisers)]

    def refusing(self, failed: Mapping[str, str], instead: "CheckpointFolder") -> "CheckpointFolder":
        """The same without the loaded ones that failed, by name: why.

        `instead` has what was loaded before. What has a failed one's name is kept from it. So is what came from a
        folder that is refused, unless the folder of its name holds one of its name now.
        """
        refused = {**self.refused, **self.by_folder(failed)}
        kept = {
            name
            for name, folder in instead.folders.items()
            if name in failed or (folder in refused and self.folders.get(name) != name)
        }
        sources = {name: self for name in self.loaded if name not in failed} | dict.fromkeys(kept, instead)
        return CheckpointFolder(
            {name: source.loaded[name] for name, source in sorted(sources.items())},
            {name: source.folders[name] for name, source in sorted(sources.items())},
            refused,
        )

    def by_folder(self, reasons: Mapping[str, str]) -> Mapping[str, str]:
        """Of loaded ones, by name → by the name of the folder."""
        return {self.folders[name]: reason for name, reason in reasons.items()}


def read_checkpoint_folder(folder: Path, *, strict: bool, in_memory: bool = True) -> CheckpointFolder:
    """Load every checkpoint in the folder, or the one that the folder itself is. Hidden ones, which are being written,
    are passed over.

    strict  raise CheckpointError for the first that is broken, or named otherwise than its folder. Else a broken one
            is refused; of two with one name, the one in the folder of that name is loaded, or the first

    in_memory  keep the weights; else each is read to see that it is whole, and left on disk

    Raises CheckpointError where the folder itself cannot be read.
    """
    try:
        inside = [folder] if (folder / CONFIG).is_file() else folder.iterdir()
        paths = sorted(path for path in inside if path.is_dir() and not path.name.startswith("."))
    except OSError as error:
        raise CheckpointError(f"the folder {folder} cannot be read: {error.strerror}") from error
    read: list[tuple[Path, ServedCheckpoint]] = []
    refused: dict[str, str] = {}
    for path in paths:
        role = read_role(path)
        if role is not None and role not in LOADERS:  # a judge, say
            continue
        try:
            one = _load(path, role or "denoiser")  # loading a folder without a role says what is wrong
            read.append((path, one if in_memory else one.left_on_disk(path)))
        except CheckpointError as error:
            if strict:
                raise
            refused[path.name] = str(error)

    loaded: dict[str, ServedCheckpoint] = {}
    folders: dict[str, str] = {}
    for path, one in sorted(read, key=lambda item: item[0].name != item[1].name):
        if strict and path.name != one.name:
            raise CheckpointError(f"{path.name}: its config.json calls it {one.name}: rename either")
        if one.name in loaded:
            refused[path.name] = f"its config.json calls it {one.name}, as that of {folders[one.name]} does"
        else:
            loaded[one.name], folders[one.name] = one, path.name
    return CheckpointFolder(loaded, folders, refused)


def _load(path: Path, role: str) -> ServedCheckpoint:
    """Raises CheckpointError, whatever a broken folder makes torch or a parser raise."""
    try:
        return LOADERS[role](path)
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path.name}: {type(error).__name__}: {error}") from error
