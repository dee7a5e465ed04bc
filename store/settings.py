"""Settings, each from an environment variable: ``OPTSERVE_`` and the name in capitals."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import quote, urlsplit

from pydantic import AliasChoices, Field, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails, PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from optcore.spec.errors import RULE, problems


class BadSettings(ValueError):
    """Settings are wrong; the text says which, a line each."""


class Settings(BaseSettings):
    """What may be set; the defaults are those of a single machine."""

    model_config = SettingsConfigDict(env_prefix="OPTSERVE_", use_attribute_docstrings=True)

    home: Path = Path(".optserve")
    """Where everything lies that has no place of its own."""
    redis_url: str | None = Field(
        None, validation_alias=AliasChoices("OPTSERVE_REDIS_URL", "REDIS_URL")
    )
    """The Redis or Valkey server (7 or newer): redis://, rediss:// or unix://. None for the
    embedded server of the local stack."""
    redis_password_file: Path | None = None
    """File with the password for `redis_url`, which then needs to hold none: what is in a file does
    not show in a list of processes or in what a container engine tells of a container."""
    data: Path | None = None
    """Datasets, each in a folder of its name; read only. Default: data in home."""
    storage: Path | None = None
    """Checkpoints and artifacts; shared by API and workers. Default: storage in home."""
    run: Path | None = None
    """Locks, one per GPU: the same folder for all workers of a machine. Default: run in home."""
    host: str = "127.0.0.1"
    """Address the API listens on."""
    allowed_hosts: list[str] | None = None
    """Names under which clients may speak to the API, as a JSON list; ``*.example.org`` is a
    pattern, ``*`` allows any. Default: localhost and the name of this machine, whatever address the
    API listens on: also behind a port that is published on loopback a browser is near, and a web
    page could point its own name there and speak to the API as that browser (DNS rebinding). IP
    addresses are always allowed, since no page can call itself by one."""
    port: int = Field(8000, ge=0, le=65535)
    """Port the API listens on; 0 for any free one."""
    max_body_bytes: int = Field(1_048_576, ge=1024)
    """Largest request body, in bytes."""
    max_head_bytes: int = Field(32 * 1024, ge=1024)
    """Largest first line and headers of a request together, in bytes; beyond it, 414 or 431."""
    head_timeout_s: float = Field(15.0, gt=0)
    """Seconds within which the first line and the headers of a request must be there; else 408. A
    connection that brings nothing at all for so long is closed."""
    body_timeout_s: float = Field(20.0, gt=0)
    """Seconds within which the body of a request must be there; else 408. A large one has a second
    more for every OPTSERVE_BODY_BYTES_PER_S."""
    body_bytes_per_s: float = Field(4096.0, gt=0)
    """Bytes a second that a body must bring which takes longer than OPTSERVE_BODY_TIMEOUT_S."""
    idle_timeout_s: float = Field(20.0, gt=0)
    """Seconds after which a connection is closed on which no further request came."""
    max_connections: int | None = Field(None, ge=1)
    """Maximum open connections per API process; beyond it a client gets 503 with Retry-After.
    Default: as many as the process may have descriptors (RLIMIT_NOFILE), less 256, and 8,192 at
    most."""
    max_connections_per_peer: int | None = Field(None, ge=1)
    """Of those, the maximum of one client address (for IPv6, of one /64 network). Behind a proxy,
    and behind a port that Docker publishes, all clients have one address. Default: three quarters
    of all, so that one address never locks the others out."""
    max_unsent_bytes: int = Field(64 * 2**20, ge=2**20)
    """How many bytes of answers may wait in an API process for clients that do not read them;
    beyond it, those are disconnected that have not read for longest."""
    max_total_body_bytes: int = Field(64 * 2**20, ge=2**20)
    """Maximum bytes of all request bodies that an API process holds at a time: those that are still
    coming, and those of requests whose answers have not begun. Beyond it, bodies that are not whole
    get 503 with Retry-After, the oldest ones of the address with most bytes first. Never less than
    OPTSERVE_MAX_BODY_BYTES."""
    max_streams: int = Field(2000, ge=1)
    """How many streams an API process serves at a time; who comes then is told to try again."""
    stream_ping_s: float = Field(10.0, gt=0, le=30)
    """After how many seconds of silence a stream shows that it lives: clients take one that was
    silent for 45 for broken."""
    stream_stall_s: float = Field(15.0, gt=0)
    """Disconnect a client that has read nothing of an answer, be it a stream, a download or a page,
    for this many seconds; of an answer that waits it must read 16 KB each time."""
    storage_patience_s: float = Field(20.0, gt=0)
    """Seconds that a request waits for a file of the storage before it gets 503; for a large file,
    a second more for every 10 MB."""
    stream_age_s: float = Field(3600.0, gt=0)
    """After how many seconds, give or take a tenth, a stream ends and its client resumes it."""
    lease_s: float = Field(30.0, gt=1)
    """How long, in seconds, a worker that fell silent keeps its job."""
    setup_limit_s: float = Field(600.0, gt=1)
    """How long, in seconds, a run may take to be set up before it counts as hung: its trainer is
    ended, and the job goes on elsewhere."""
    step_limit_s: float = Field(60.0, gt=1)
    """The same for a step, which may also last 20 times as long as the last ones."""
    checkpoint_limit_s: float = Field(420.0, gt=1)
    """The same for the writing of a checkpoint."""
    fault_patience_s: float = Field(30.0, ge=0)
    """How long, in seconds, a run waits for files that cannot be read or written (a mount that is
    read-only or fails), before its worker gives the job to another one."""
    missing_after_s: float = Field(600.0, ge=0)
    """For how long, in seconds, the files of a checkpoint must have been missing from a storage
    that is otherwise well, before its job goes on from an older one."""
    max_unstored_bytes: int = Field(64 * 2**20, ge=2**16)
    """How many bytes of a run's rows and of its groups' lrs may wait for a store that is away or
    slow, before training waits too. The default lasts 10 minutes at 7,000 steps of two columns a
    second."""
    offer_after_s: float = Field(300.0, ge=0)
    """For how long, in seconds, no worker with a job's fingerprint must have lived before the job
    offers to be restarted, or to go on with other bits."""
    control: Literal["api", "separate"] = "api"
    """Where leases are watched, and ended jobs archived and removed: `api`, in every API process;
    `separate`, only in processes of their own (``python -m control.main``)."""
    keep_days: float | None = Field(None, ge=0)
    """For how many days jobs that have ended are kept, with all that belongs to them. Default: for
    ever."""
    keep_jobs: int | None = Field(None, ge=0)
    """How many jobs that have ended are kept: the last ones. Default: all."""
    keep_bytes: int | None = Field(None, ge=0)
    """How many bytes the files of all jobs that have ended may have; the oldest go first. Default:
    as many as there are."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """What a worker trains on; auto for a GPU if there is one."""
    worker_host: str = "127.0.0.1"
    """Address at which a worker says whether it is well, if it has a port for that."""
    worker_port: int | None = Field(None, ge=0, le=65535)
    """Port for ``GET /healthz`` and ``GET /readyz`` of a worker. Default: none."""
    workers_on_machine: int = Field(1, ge=1)
    """Workers that share this machine's cores."""

    @field_validator("redis_password_file")
    @classmethod
    def _is_of_use(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None and info.data.get("redis_url") is None:
            raise PydanticCustomError(
                RULE, "OPTSERVE_REDIS_PASSWORD_FILE needs REDIS_URL to name its server"
            )
        return file

    @property
    def store_url(self) -> str:
        """URL of the Redis server, with its password; raises ValueError if none is set."""
        if self.redis_url is None:
            raise ValueError("REDIS_URL must name the Redis server, got nothing")
        if self.redis_password_file is None:
            return self.redis_url
        return with_password(self.redis_url, self.redis_password_file.read_text().strip())

    @property
    def hosts(self) -> list[str]:
        """Names under which clients may speak to the API."""
        if self.allowed_hosts is not None:
            return self.allowed_hosts
        return ["localhost", socket.gethostname().lower()]

    @property
    def data_dir(self) -> Path:
        """Where datasets lie."""
        return self.data or self.home / "data"

    @property
    def run_dir(self) -> Path:
        """Where the locks of this machine lie."""
        return self.run or self.home / "run"

    @property
    def storage_dir(self) -> Path:
        """Where checkpoints and artifacts lie."""
        return self.storage or self.home / "storage"


def with_password(url: str, password: str) -> str:
    """Return the URL of a server with this password, in place of one that it may hold."""
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    return parts._replace(netloc=f"{name}:{quote(password, safe='')}@{host}").geturl()


def read_settings(given: Mapping[str, Any] | None = None) -> Settings:
    """
    Return the settings of the environment, with those *given* in place of its own.

    Raises:
        BadSettings: one or more are wrong.
    """
    try:
        return Settings(**(given or {}))
    except ValidationError as error:
        named = [{**e, "loc": (_variable(str(e["loc"][0])),)} for e in error.errors()]
        wrong, _ = problems(cast("list[ErrorDetails]", named), None)
        raise BadSettings("\n".join(problem.message for problem in wrong)) from None


def _variable(name: str) -> str:
    return name if name.isupper() else f"OPTSERVE_{name.upper()}"
