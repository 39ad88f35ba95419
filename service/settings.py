"""Settings: environment variables `SPIRALE_*`, and the same as flags of `python -m service`."""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, ByteSize, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from service.engine.devices import check_devices, parse_devices
from service.environment import OwnEnvironment
from service.jobs.job_options import JobOptions
from service.jobs.webhooks import LEAST_SECRET, checked_host, checked_secret
from service.key_file import read_keys

ORIGIN = re.compile(r"https?://[^/\s*;,]+")
POSTGRES = re.compile(r"postgres(ql)?://")
COLLECTOR = re.compile(r"https?://[^/\s?#]+/?")
OTEL_PACKAGES = ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http")
Seconds = Annotated[float, Field(le=366 * 86_400, allow_inf_nan=False)]
Days = Annotated[float, Field(le=36_500, allow_inf_nan=False)]


def shipped_checkpoints() -> Path:
    """The project's own checkpoints/, beside the package; ./checkpoints where only the package is installed."""
    beside = Path(__file__).parent.parent / "checkpoints"
    return beside if beside.is_dir() else Path("checkpoints")


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # nor is what it is a part of
        return False


def _comma_separated(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


class Settings(BaseSettings):
    """Serve diffusion models over HTTP."""

    model_config = SettingsConfigDict(
        env_prefix="SPIRALE_",
        env_ignore_empty=True,  # an empty variable is one that is not set
        extra="forbid",
        cli_prog_name="python -m service",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_avoid_json=True,
        cli_show_env_vars=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags and arguments come before the environment; no file is read."""
        return init_settings, OwnEnvironment(settings_cls)

    host: str = Field("127.0.0.1", description="Address to listen on; 0.0.0.0 to be reached from other machines.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 takes a free one, which the log names.")
    checkpoints: Path = Field(
        shipped_checkpoints(),
        description="Folder of the checkpoints to serve, or "
        "org/name[@revision] of the Hugging Face Hub, of which configs and safetensors are taken.",
    )
    device: str = Field(
        "auto",
        description="cpu, cuda, cuda:1, …; auto takes a GPU where there is one. Several work side by side: "
        "cuda:0,cuda:1, or sets of cores such as cpu:0-3,cpu:4-7.",
    )
    backend: Literal["auto", "onnx", "torch"] = Field(
        "auto",
        description="What computes the networks. auto is onnx (ONNX Runtime) on CPUs, and torch on GPUs, for "
        "bfloat16, and to compile. Changes the bytes.",
    )
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto",
        description="auto is float32 with onnx; with torch it is bfloat16 where the checkpoint allows it and the "
        "hardware has it. int8 is onnx's, for models whose card allows it, and faster. Changes the bytes.",
    )
    batch_sizes: Annotated[tuple[int, ...], NoDecode, BeforeValidator(_comma_separated)] = Field(
        (), description="Sizes that torch pads batches to, such as 4,16,64; empty is the default of each model. "
        "The largest, at least 4, bounds a tick, also with onnx, which pads nothing. Changes the bytes of torch on "
        "some hardware.",
    )  # fmt: skip
    compile: bool = Field(
        False,
        description="Compile the networks' kernels (torch.compile): faster ticks, minutes to start, and a C++ compiler "
        "is needed. Changes the bytes.",
    )
    threads: int = Field(
        0,
        ge=0,
        description="CPU threads of the network; 0 is one a core, or as many as a quota allows. A set of cores has a "
        "thread for each. Changes the bytes of torch.",
    )
    memory_limit: ByteSize | None = Field(
        None,
        gt=0,
        description="Memory that the models may take, such as 2GiB. Past it those that were used least recently are "
        "unloaded, and loaded again when they are asked for. By default all models are kept.",
    )
    max_queued_seconds: Seconds = Field(
        60,
        gt=0,
        description="How long a request may wait for those that run before it, by estimate; past it the answer is 429.",
    )
    deadline_seconds: Seconds = Field(120, gt=0, description="A request that is not done by then is given up: 504.")
    drain_seconds: Seconds = Field(20, ge=0, description="On SIGTERM, how long accepted requests may take to finish.")
    notice_seconds: Seconds = Field(
        2,
        ge=0,
        description="On SIGTERM, how long to answer 503 before the port is closed, so that balancers look elsewhere.",
    )
    body_limit: int = Field(2 * 1024 * 1024, ge=1024, description="Largest request body in bytes; past it: 413.")
    client_seconds: Seconds = Field(
        30,
        gt=0,
        description="How long a client may take to send a request's head, then its body, and to read an answer; past "
        "it: 408, or the connection is closed.",
    )
    keep_alive_seconds: int = Field(
        75, ge=1, description="How long an idle connection is kept; longer than a balancer before it keeps its own."
    )
    max_connections: int = Field(
        4000, ge=1, description="Connections open at once; past it the one that has been idle longest is closed."
    )
    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)] = Field(
        (),
        description="Other sites whose pages may use this from a browser, such as https://a.example,https://b.example; "
        "* is all of them, empty is none.",
    )
    jobs_dir: Path = Field(
        Path("data"),
        description="Folder of jobs: their store jobs.sqlite, and their files in jobs/. It is made when a first job "
        "comes. Without a folder that can be written, all else works.",
    )
    jobs: str | None = Field(
        None,
        description="postgresql://user:password@host/database, for services that share their jobs; they need one place "
        "for results, too. Default: SQLite in the jobs dir.",
    )
    results: str | None = Field(
        None,
        description="Where the files of jobs are kept: a folder, or an address that fsspec knows, such as "
        "s3://bucket/prefix. "
        "Default: a folder in the jobs dir.",
    )
    jobs_keep_days: Days = Field(7, gt=0, description="How long the files of a finished job are kept.")
    jobs_keep_bytes: int = Field(
        10 * 2**30,
        ge=1,
        description="Bytes that the files of all jobs may take. Past it the oldest finished job goes; if none is left, "
        "jobs pause.",
    )
    webhook_hosts: Annotated[
        tuple[Annotated[str, AfterValidator(checked_host)], ...], NoDecode, BeforeValidator(_comma_separated)
    ] = Field(
        (),
        description="Hosts that the end of a job may be told to, such as a.example,b.example:8080; empty is none.",
    )
    webhook_secret: Annotated[SecretStr, AfterValidator(checked_secret)] | None = Field(
        None,
        description=f"What webhooks are signed with: {LEAST_SECRET} characters or more; needed if hosts are allowed.",
    )
    embed_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_comma_separated)] = Field(
        (),
        description="Other sites that may show the playground in a frame, as /?embed=1, such as https://a.example; "
        "* is all of them, empty is none.",
    )
    api_key: SecretStr | None = Field(
        None,
        min_length=1,
        description="When set, requests need `Authorization: Bearer <key>`. Prefer the environment variable: flags are "
        "seen in the list of processes.",
    )
    keys_file: Path | None = Field(
        None,
        description="File of API keys in TOML or JSON, each with a name, a rate and a share; read again on SIGHUP. "
        "Nobody else may read it.",
    )
    traces: str | None = Field(
        None,
        description="Address of an OpenTelemetry collector, such as http://localhost:4318, that gets the traces of "
        "requests by OTLP over HTTP. It needs spirale[otel].",
    )
    traced_share: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the requests that are traced, of those without a `traceparent`; with one it decides.",
    )
    log_format: Literal["console", "json"] = Field("console", description="json for machines, console for people.")

    @property
    def job_options(self) -> JobOptions:
        """The settings that jobs are kept by."""
        return JobOptions(
            self.checkpoints,
            self.jobs_dir,
            self.jobs,
            self.results,
            self.jobs_keep_days * 86400,
            self.jobs_keep_bytes,
            self.webhook_hosts,
            "" if self.webhook_secret is None else self.webhook_secret.get_secret_value(),
        )

    @field_validator("jobs")
    @classmethod
    def _is_postgres(cls, address: str | None) -> str | None:
        if address is not None and not POSTGRES.match(address):
            raise ValueError("a store that services share is such as postgresql://user:password@host/database")
        return address

    @field_validator("keys_file")
    @classmethod
    def _has_keys(cls, path: Path | None) -> Path | None:
        if path is not None:
            read_keys(path)
        return path

    @field_validator("traces")
    @classmethod
    def _can_trace(cls, address: str | None) -> str | None:
        if address is None:
            return None
        if not COLLECTOR.fullmatch(address):
            raise ValueError("a collector is such as http://localhost:4318, without a path of its own")
        if not all(map(_is_installed, OTEL_PACKAGES)):
            raise ValueError("traces need the extra otel: pip install 'spirale[otel]'")
        return address

    @field_validator("batch_sizes")
    @classmethod
    def _positive(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        # 4: a guided row that follows a hint costs four evaluations of one tick
        if sizes and (min(sizes) < 1 or max(sizes) < 4):
            raise ValueError("batch sizes are positive, and the largest is at least 4")
        return tuple(sorted(set(sizes)))

    @field_validator("cors_origins", "embed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != "*" and not ORIGIN.fullmatch(origin):
                raise ValueError(f"an origin is such as https://a.example or http://b.example:8080, not {origin!r}")
        return origins

    @field_validator("compile")
    @classmethod
    def _can_compile(cls, wanted: bool) -> bool:
        if wanted:
            from model.compilation import need_compiler  # imports torch: slow, and not needed for a help text

            need_compiler()
        return wanted

    @model_validator(mode="after")
    def _can_sign(self) -> Self:
        if self.webhook_hosts and self.webhook_secret is None:
            raise ValueError("webhook hosts: webhooks are signed, so set SPIRALE_WEBHOOK_SECRET")
        return self

    @model_validator(mode="after")
    def _backend_can(self) -> Self:
        if self.precision == "int8":
            if self.backend == "torch":
                raise ValueError("backend: torch has no int8; use onnx")
            self.backend = "onnx"  # also where there is a GPU
        if self.backend == "onnx":
            if self.device.startswith("cuda"):
                raise ValueError(f"backend: onnx computes on the CPU only, and the device is {self.device}; use torch")
            if self.precision == "bfloat16":
                raise ValueError("backend: onnx computes in float32 or int8; use torch for bfloat16")
            if self.compile:
                raise ValueError("backend: onnx has nothing to compile; use torch")
        return self

    @model_validator(mode="after")
    def _threads_are_the_cores(self) -> Self:
        if self.threads and ":" in self.device and self.device.startswith("cpu"):
            raise ValueError(f"threads: {self.device} has a thread for each core; leave --threads away")
        return self

    @field_validator("device")
    @classmethod
    def _exists(cls, text: str) -> str:
        check_devices(parse_devices(text))
        return text
