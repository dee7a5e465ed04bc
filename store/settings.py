"""
The settings of the service, each read from an environment variable.

Its name is ``OPTSERVE_`` and that of the field in capitals. ``docs/settings.md`` is made from the
texts here by `store.settings_page`.
"""

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
    """All settings; the defaults are for a single machine."""

    model_config = SettingsConfigDict(env_prefix="OPTSERVE_", use_attribute_docstrings=True)

    home: Path = Path(".optserve")
    """Folder for everything that has no folder of its own."""
    # The prefix does not apply to a field with an alias, so the alias spells it out. Where both are
    # set, the first one counts.
    redis_url: str | None = Field(
        None, validation_alias=AliasChoices("OPTSERVE_REDIS_URL", "REDIS_URL")
    )
    """Redis or Valkey server, version 7 or newer: redis://, rediss:// or unix://. The variable may
    also be called REDIS_URL. Default: the embedded server of `optserve up`."""
    # Below redis_url, which its validator reads: pydantic validates fields in this order.
    redis_password_file: Path | None = None
    """File with the password of the Redis server, which the URL then need not hold: unlike a
    variable, a file shows neither in a list of processes nor in `docker inspect`."""
    data: Path | None = None
    """Folder of datasets, one folder each; only read. Default: `data` in OPTSERVE_HOME."""
    storage: Path | None = None
    """Folder of checkpoints and artifacts, shared by API and workers. Default: `storage` in
    OPTSERVE_HOME."""
    run: Path | None = None
    """Local folder of locks, one per GPU, and of journals: files without a name, with the rows of
    running attempts. The same for all workers of a machine. Default: `run` in OPTSERVE_HOME."""
    control: Literal["api", "separate"] = "api"
    """Which processes watch leases, and archive and remove ended jobs. `api`: every API process.
    `separate`: only ``python -m control.main``."""
    host: str = "127.0.0.1"
    """Address the API listens on."""
    port: int = Field(8000, ge=0, le=65535)
    """Port the API listens on; 0 for any free one."""
    allowed_hosts: list[str] | None = None
    """Host names that requests may be addressed to, as a JSON list. ``*.example.org`` is a pattern,
    ``*`` allows any name; IP addresses are always allowed. Default: localhost and the name of this
    machine. The check protects against DNS rebinding: a web page that points its own name at this
    machine cannot use the API through a visitor's browser."""
    max_body_bytes: int = Field(1_048_576, ge=1024)
    """Maximum size of a request body; beyond it, 413."""
    max_head_bytes: int = Field(32 * 1024, ge=1024)
    """Maximum size of a request line and headers together; beyond it, 414 or 431."""
    head_timeout_s: float = Field(15.0, gt=0)
    """Seconds a client has to send a request line and headers; after that it gets 408. A connection
    on which nothing at all arrives is closed."""
    body_timeout_s: float = Field(20.0, gt=0)
    """Seconds a client has to send a request body; after that it gets 408. A large body gets a
    second more for every OPTSERVE_BODY_BYTES_PER_S bytes."""
    body_bytes_per_s: float = Field(4096.0, gt=0)
    """Minimum rate, in bytes per second, of a request body that takes longer than
    OPTSERVE_BODY_TIMEOUT_S."""
    idle_timeout_s: float = Field(20.0, gt=0)
    """Close a connection that has sent no further request for this many seconds."""
    max_connections: int | None = Field(None, ge=1)
    """Maximum open connections per API process; beyond it a client gets 503 with Retry-After.
    Default: the limit of open files (RLIMIT_NOFILE) less 256, and at most 8,192."""
    max_connections_per_peer: int | None = Field(None, ge=1)
    """Maximum open connections per client address (for IPv6, per /64 network). Behind a proxy or a
    port published by Docker all clients share one address. Default: three quarters of
    OPTSERVE_MAX_CONNECTIONS, so that no single address locks out the others."""
    # 150 clients that asked for an export and did not read it once took 400 MB.
    max_unsent_bytes: int = Field(64 * 2**20, ge=2**20)
    """Maximum bytes of responses that an API process holds for clients that do not read them;
    beyond it, the clients that have not read for longest are disconnected."""
    # 200 connections, each with an unfinished body just below the limit of one, took a process from
    # 163 to 377 MB; compose gives it 512 MB.
    max_total_body_bytes: int = Field(64 * 2**20, ge=2**20)
    """Maximum bytes of request bodies that an API process holds at a time, from the first byte of a
    body to the start of the response. Beyond it, incomplete bodies get 503 with Retry-After: those
    of the client address with the most bytes, the oldest first. Never less than
    OPTSERVE_MAX_BODY_BYTES."""
    max_streams: int = Field(2000, ge=1)
    """Maximum open streams per API process; beyond it a client gets 503 with Retry-After."""
    # At most 30, well within the 45 s after which a client takes a stream for broken.
    stream_ping_s: float = Field(10.0, gt=0, le=30)
    """Send a ping on a stream that has been silent for this many seconds. Clients reconnect after
    45 seconds of silence."""
    stream_stall_s: float = Field(15.0, gt=0)
    """Disconnect a client that has read nothing of a response (a stream, a download, a page) for
    this many seconds. Of a response that waits, it must read 16 KB in that time."""
    stream_age_s: float = Field(3600.0, gt=0)
    """End a stream after this many seconds, give or take a tenth; its client resumes it."""
    storage_patience_s: float = Field(20.0, gt=0)
    """Seconds a request waits for a file of the storage before it gets 503; a large file gets a
    second more for every 10 MB."""
    lease_s: float = Field(30.0, gt=1)
    """Seconds without a sign of life after which a worker loses its job."""
    # 600 s for setup and 420 s for a checkpoint are what NVIDIA's ft_launcher allows. Its 180 s for
    # a step are not taken over: here, slow steps raise their own limit.
    setup_limit_s: float = Field(600.0, gt=1)
    """Maximum seconds for setting up a run. After that it counts as hung: its trainer is ended, and
    the job continues elsewhere."""
    step_limit_s: float = Field(60.0, gt=1)
    """Maximum seconds for a step, or 20 times as long as the last steps took if that is more. After
    that the run counts as hung."""
    checkpoint_limit_s: float = Field(420.0, gt=1)
    """Maximum seconds for writing a checkpoint. After that the run counts as hung."""
    fault_patience_s: float = Field(30.0, ge=0)
    """Seconds a run retries a file that cannot be read or written (its mount fails or is read-only)
    before its worker releases the job for another worker."""
    missing_after_s: float = Field(600.0, ge=0)
    """Seconds for which the files of a checkpoint must be missing from an otherwise healthy storage
    before the job continues from an older checkpoint."""
    max_unstored_bytes: int = Field(64 * 2**20, ge=2**16)
    """Maximum bytes of a run's metrics that wait for a store that is away or slow; beyond it,
    training waits. The default lasts 10 minutes at 7,000 steps per second of two columns."""
    offer_after_s: float = Field(300.0, ge=0)
    """Seconds without any worker of a job's fingerprint after which the job offers its client to
    restart it, or to continue it with other bits."""
    keep_days: float | None = Field(None, ge=0)
    """Remove jobs, with all that belongs to them, this many days after they ended. Default:
    never."""
    keep_jobs: int | None = Field(None, ge=0)
    """Maximum number of ended jobs; beyond it the oldest are removed. Default: no limit."""
    keep_bytes: int | None = Field(None, ge=0)
    """Maximum bytes of the files of ended jobs; beyond it the oldest jobs are removed. Default: no
    limit."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device a worker trains on. `auto`: a GPU if the machine has one."""
    worker_host: str = "127.0.0.1"
    """Address a worker listens on for health checks, if OPTSERVE_WORKER_PORT is set."""
    worker_port: int | None = Field(None, ge=0, le=65535)
    """Port of a worker's ``GET /healthz`` and ``GET /readyz``. Default: none."""
    workers_on_machine: int = Field(1, ge=1)
    """Number of workers that share the cores of this machine."""

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
            # Not a required field: `optserve up` reads these settings before its server has a URL.
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
    # At the last @: a password that stands in the URL already may have one, unquoted.
    user, _, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    # A / or @ in the password would end it where a client parses the URL.
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
        # Errors name the field, or the alias that had the value; people know the variable.
        named = [{**e, "loc": (_variable(str(e["loc"][0])),)} for e in error.errors()]
        wrong, _ = problems(cast("list[ErrorDetails]", named), None)
        raise BadSettings("\n".join(problem.message for problem in wrong)) from None


def _variable(name: str) -> str:
    return name if name.isupper() else f"OPTSERVE_{name.upper()}"
