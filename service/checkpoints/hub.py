"""A repository of the Hugging Face Hub → a folder of checkpoints. Needs the extra `hub`."""

import re
from pathlib import Path

import structlog

from model.checkpoints.config import CONFIG

log = structlog.get_logger(__name__)

REPOSITORY = re.compile(r"(?P<name>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@(?P<revision>[\w./-]+))?")
FETCHED = [f"{folder}{file}" for folder in ("", "*/") for file in (CONFIG, "*.safetensors")]
"""Configs and tensors. Neither pickles nor code, and no graphs: the graph of weights is made by `training export`."""

DEEPER = "*/*/*"  # a checkpoint stands at the top or in a folder there, and `*` of a pattern also means slashes


class HubError(Exception):
    """A repository that cannot be served; the message is one sentence."""


def local_folder(checkpoints: Path, endpoint: str | None = None, cache: Path | None = None) -> Path:
    """The folder itself where it is there; else the files of the repository that it names, org/name or
    org/name@revision, at one commit.

    endpoint  address of the Hub; None is HF_ENDPOINT's, or the Hub itself
    cache     folder of downloads; None is the Hub's own

    Raises HubError.
    """
    wanted = REPOSITORY.fullmatch(str(checkpoints))
    if checkpoints.exists() or wanted is None:
        return checkpoints
    name, revision = wanted["name"], wanted["revision"]
    try:
        from huggingface_hub import snapshot_download  # optional, and slow to import
        from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
    except ModuleNotFoundError as error:
        raise HubError(f"there is no folder {checkpoints}, and the Hub needs the extra spirale[hub]") from error
    try:
        folder = Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=FETCHED,
                ignore_patterns=DEEPER,
                endpoint=endpoint,
                cache_dir=cache,
            )
        )
    except GatedRepoError as error:
        raise HubError(f"{name} is gated: ask for access on the Hub, and set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise HubError(f"{name} has no revision {revision}") from error
    except RepositoryNotFoundError as error:
        raise HubError(f"there is neither a folder {checkpoints} nor a repository {name} that you can read") from error
    except Exception as error:  # of the network, of many kinds
        reason = str(error).partition("\n")[0]
        raise HubError(
            f"there is no folder {checkpoints}, and the Hub cannot be reached, nor is {name} in its cache: {reason}"
        ) from error
    if not any(folder.glob(CONFIG)) and not any(folder.glob(f"*/{CONFIG}")):
        raise HubError(f"{name} has no {CONFIG} of a checkpoint: a model of another library wants `training import`")
    log.info("checkpoints of the Hub", repository=name, revision=folder.name)
    return folder
