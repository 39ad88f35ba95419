"""Settings: environment variables `SPIRALE_*`, and the same as flags of `python -m service`."""

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

PROJECT = Path(__file__).parent.parent


class Settings(BaseSettings):
    """Serve diffusion models over HTTP."""

    model_config = SettingsConfigDict(
        env_prefix="SPIRALE_",
        extra="forbid",
        cli_prog_name="python -m service",
        cli_kebab_case=True,
        cli_implicit_flags=True,
    )

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 to be reached from other machines.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one, which the log names.")
    checkpoints: Path = Field(PROJECT / "checkpoints", description="Folder of the checkpoints to serve.")
    device: str = Field("auto", description="cpu, cuda, cuda:1, …; auto takes a GPU where there is one.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto",
        description="auto is bfloat16 where the checkpoint allows it and the hardware has it. Changes the bytes.",
    )
    batch_sizes: tuple[int, ...] = Field(
        (), description="Sizes that batches are padded to, for every model; empty is the default of each. "
        "The largest bounds how long a tick takes. Changes the bytes on some hardware."
    )  # fmt: skip
    threads: int = Field(0, ge=0, description="CPU threads of the network; 0 is one a core. Changes the bytes.")
    max_queued_seconds: float = Field(
        60,
        gt=0,
        description="Accepted work that may wait, in estimated seconds of the device; past it the answer is 429.",
    )
    deadline_seconds: float = Field(120, gt=0, description="A request that is not done by then is given up: 504.")
    drain_seconds: float = Field(20, ge=0, description="On SIGTERM, how long accepted requests may take to finish.")
    body_limit: int = Field(2 * 1024 * 1024, ge=1024, description="Largest request body in bytes; past it: 413.")
    api_key: SecretStr | None = Field(None, description="When set, requests need `Authorization: Bearer <key>`.")
    log_format: Literal["console", "json"] = Field("console", description="json for machines, console for people.")

    @field_validator("batch_sizes")
    @classmethod
    def _positive(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        # 2: a guided row costs two evaluations of one tick
        if sizes and (min(sizes) < 1 or max(sizes) < 2):
            raise ValueError("batch sizes are positive, and the largest is at least 2")
        return tuple(sorted(set(sizes)))
