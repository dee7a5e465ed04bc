"""
The settings of the service, each read from an environment variable.

The variable of a field is named ``OPTSERVE_`` followed by the field's name in capitals.
`store.settings_page` generates ``docs/settings.md`` from the texts under the fields.
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
    """One or more settings are wrong; the text has one line for each of them."""


class Settings(BaseSettings):
    """All settings of the service; the defaults suit a single machine."""

    model_config = SettingsConfigDict(env_prefix="OPTSERVE_", use_attribute_docstrings=True)

    home: Path = Path(".optserve")
    """Folder for all data that has no folder setting of its own. With `optserve up`, the embedded
    Redis server's data and the logs are in it, too."""
    # The prefix does not apply to a field with an alias, so the alias spells it out. If both
    # variables are set, the first one counts.
    redis_url: str | None = Field(
        None, validation_alias=AliasChoices("OPTSERVE_REDIS_URL", "REDIS_URL")
    )
    """Redis or Valkey server, version 7 or newer: redis://, rediss:// or unix://. The variable may
    also be called REDIS_URL. Default: the embedded server of `optserve up`."""
    # Below redis_url, which its validator reads: pydantic validates fields in this order.
    redis_password_file: Path | None = None
    """File that holds the password for the Redis server, so that OPTSERVE_REDIS_URL need not
    contain it. Unlike an environment variable, a file is not shown by `ps` or `docker inspect`."""
    data: Path | None = None
    """Folder that holds the datasets, one folder for each; the service only reads it. Default:
    `data` in OPTSERVE_HOME."""
    storage: Path | None = None
    """Folder that holds checkpoints, artifacts and archived metrics, shared by API and workers.
    Default: `storage` in OPTSERVE_HOME."""
    run: Path | None = None
    """Folder on a local disk that holds a lock for each GPU, and journals: files with the metrics
    of running jobs that Redis has not stored yet. Journals have no names, so a listing of the
    folder does not show them. All workers on a machine must use the same folder. Default: `run` in
    OPTSERVE_HOME."""
    control: Literal["api", "separate"] = "api"
    """Which processes take jobs back from workers that died, and archive and remove ended jobs.
    `api`: every API process. `separate`: only processes started as ``python -m control.main``."""
    host: str = "127.0.0.1"
    """Address the API listens on."""
    port: int = Field(8000, ge=0, le=65535)
    """Port the API listens on; 0 for any free port."""
    allowed_hosts: list[str] | None = None
    """Host names that requests may be addressed to, as a JSON list. ``*.example.org`` is a pattern,
    ``*`` allows any name; IP addresses are always allowed. Default: localhost and the name of this
    machine. The check protects against DNS rebinding: a web page whose host name is made to resolve
    to this machine cannot use the API through a visitor's browser."""
    max_body_bytes: int = Field(1_048_576, ge=1024)
    """Maximum size of a request body, in bytes; a larger one gets 413."""
    max_head_bytes: int = Field(32 * 1024, ge=1024)
    """Maximum size of a request line and its headers together, in bytes; beyond it, the request
    gets 414 or 431."""
    head_timeout_s: float = Field(15.0, gt=0)
    """Seconds a client has to send a request line and headers; after that it gets 408. If it sent
    nothing at all, the connection is closed without a response."""
    body_timeout_s: float = Field(20.0, gt=0)
    """Seconds a client has to send a request body; after that it gets 408. The limit grows with the
    body: by a second for every OPTSERVE_BODY_BYTES_PER_S bytes received."""
    body_bytes_per_s: float = Field(4096.0, gt=0)
    """Minimum rate, in bytes per second, of a request body that takes longer than
    OPTSERVE_BODY_TIMEOUT_S."""
    idle_timeout_s: float = Field(20.0, gt=0)
    """Close a connection if its client sends no further request for this many seconds after a
    response."""
    max_connections: int | None = Field(None, ge=1)
    """Maximum open connections per API process; beyond it a client gets 503 with Retry-After.
    Default: the limit on open files (RLIMIT_NOFILE) minus 256, but at most 8,192."""
    max_connections_per_peer: int | None = Field(None, ge=1)
    """Maximum open connections per client address (for IPv6, per /64 network). Behind a proxy or a
    port published by Docker all clients share one address. Default: three quarters of
    OPTSERVE_MAX_CONNECTIONS, so that no single address locks out the others."""
    # Without this limit, 150 clients that requested an export and did not read it took 400 MB.
    max_unsent_bytes: int = Field(64 * 2**20, ge=2**20)
    """Maximum bytes of responses that an API process holds for clients that do not read them;
    beyond it, clients are disconnected, first those that have read nothing for the longest time."""
    # 200 connections, each with an unfinished body just below the limit for one body, took a
    # process from 163 to 377 MB; compose gives it 512 MB.
    max_total_body_bytes: int = Field(64 * 2**20, ge=2**20)
    """Maximum bytes of request bodies that an API process holds at a time; it holds a body from its
    first byte until the response starts. Beyond the maximum, requests whose bodies are still
    arriving get 503 with Retry-After, beginning with the oldest request of the client address that
    holds the most bytes. A value below OPTSERVE_MAX_BODY_BYTES counts as
    OPTSERVE_MAX_BODY_BYTES."""
    max_streams: int = Field(2000, ge=1)
    """Maximum open streams per API process; beyond it a client gets 503 with Retry-After."""
    # At most 30, well within the 45 s after which a client takes a stream for broken.
    stream_ping_s: float = Field(10.0, gt=0, le=30)
    """Send a ping on a stream that has been silent for this many seconds. Clients reconnect after
    45 seconds of silence."""
    stream_stall_s: float = Field(15.0, gt=0)
    """Disconnect a client that leaves a response (a stream, a download, a page) unread for this
    many seconds. To stay connected, a client must read at least 16 KB in that time, or all that
    waits to be sent to it."""
    stream_age_s: float = Field(3600.0, gt=0)
    """End a stream after this many seconds, varied at random by up to 10 %. Clients then reconnect
    and resume."""
    storage_patience_s: float = Field(20.0, gt=0)
    """Seconds a request waits for a file in the storage before it gets 503. The limit grows with
    the file: by a second for every 10 MB."""
    lease_s: float = Field(30.0, gt=1)
    """Seconds without a heartbeat after which a job is taken from its worker and queued again."""
    # 600 s for setup and 420 s for a checkpoint are what NVIDIA's ft_launcher allows. Its 180 s for
    # a step are not used: here, slow steps raise their own limit.
    setup_limit_s: float = Field(600.0, gt=1)
    """Maximum seconds for setting up a run. After that the run counts as hung: its process is
    ended, and the job is queued again."""
    step_limit_s: float = Field(60.0, gt=1)
    """Maximum seconds for a training step, or 20 times the median duration of the last steps if
    that is more. After that the run counts as hung, as with OPTSERVE_SETUP_LIMIT_S."""
    checkpoint_limit_s: float = Field(420.0, gt=1)
    """Maximum seconds for writing a checkpoint. After that the run counts as hung, as with
    OPTSERVE_SETUP_LIMIT_S."""
    fault_patience_s: float = Field(30.0, ge=0)
    """Seconds for which a run retries a file that cannot be read or written (the mount fails or is
    read-only). After that, the job is queued again for another worker."""
    missing_after_s: float = Field(600.0, ge=0)
    """Seconds for which the files of a checkpoint must be missing from an otherwise healthy storage
    before the job continues from an older checkpoint."""
    max_unstored_bytes: int = Field(64 * 2**20, ge=2**16)
    """Maximum bytes of a run's metrics that a worker holds while Redis is unavailable or slow;
    beyond it, training pauses. The default lasts 10 minutes at 7,000 steps per second with two
    metrics per step."""
    offer_after_s: float = Field(300.0, ge=0)
    """Seconds without a live worker that has the hardware and library versions on which a job was
    computed so far (the job's fingerprint). After that, the job's `offers` lists two actions:
    `restart` from step 0, or `accept` a worker whose results may differ in the last bits."""
    keep_days: float | None = Field(None, ge=0)
    """Remove jobs, with their metrics and files, this many days after they ended. Default:
    never."""
    keep_jobs: int | None = Field(None, ge=0)
    """Maximum number of ended jobs; beyond it the oldest are removed. Default: no limit."""
    keep_bytes: int | None = Field(None, ge=0)
    """Maximum total bytes of the files that belong to ended jobs; beyond it the oldest jobs are
    removed. Default: no limit."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device a worker trains on. `auto`: a GPU if the machine has one, otherwise the CPU."""
    worker_host: str = "127.0.0.1"
    """Address a worker listens on for health checks, if OPTSERVE_WORKER_PORT is set."""
    worker_port: int | None = Field(None, ge=0, le=65535)
    """Port on which a worker serves ``GET /healthz`` and ``GET /readyz``. Default: a worker serves
    neither."""
    workers_on_machine: int = Field(1, ge=1)
    """Number of workers that share the CPU cores of this machine. Each worker runs as many threads
    as there are cores, divided by this number."""

    @field_validator("redis_password_file")
    @classmethod
    def _is_of_use(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None and info.data.get("redis_url") is None:
            raise PydanticCustomError(
                RULE, "OPTSERVE_REDIS_PASSWORD_FILE requires REDIS_URL, which names the server"
            )
        return file

    @property
    def store_url(self) -> str:
        """URL of the Redis server, with the password; raises ValueError if no URL is set."""
        if self.redis_url is None:
            # REDIS_URL is not required: `optserve up` reads the settings before its server runs.
            raise ValueError("REDIS_URL must name the Redis server, got nothing")
        if self.redis_password_file is None:
            return self.redis_url
        return with_password(self.redis_url, self.redis_password_file.read_text().strip())

    @property
    def hosts(self) -> list[str]:
        """Host names that requests to the API may be addressed to."""
        if self.allowed_hosts is not None:
            return self.allowed_hosts
        return ["localhost", socket.gethostname().lower()]

    @property
    def data_dir(self) -> Path:
        """Folder that holds the datasets."""
        return self.data or self.home / "data"

    @property
    def run_dir(self) -> Path:
        """Folder that holds the GPU locks and the journals of this machine."""
        return self.run or self.home / "run"

    @property
    def storage_dir(self) -> Path:
        """Root folder of the storage, which holds checkpoints, artifacts and archives."""
        return self.storage or self.home / "storage"


def with_password(url: str, password: str) -> str:
    """Return *url* with *password* in it; a password that *url* already has is replaced."""
    parts = urlsplit(url)
    # Split at the last @: a password that is already in the URL may contain an unquoted @.
    user, _, host = parts.netloc.rpartition("@")
    name = user.partition(":")[0]
    # A / or @ in the password would end it where a client parses the URL.
    return parts._replace(netloc=f"{name}:{quote(password, safe='')}@{host}").geturl()


def read_settings(given: Mapping[str, Any] | None = None) -> Settings:
    """
    Return the settings that the environment sets; values in *given* take precedence.

    Raises:
        BadSettings: one or more settings are wrong.
    """
    try:
        return Settings(**(given or {}))
    except ValidationError as error:
        # pydantic names the field, or the alias that had the value; users know the variable.
        named = [{**e, "loc": (_variable(str(e["loc"][0])),)} for e in error.errors()]
        wrong, _ = problems(cast("list[ErrorDetails]", named), None)
        raise BadSettings("\n".join(problem.message for problem in wrong)) from None


def _variable(name: str) -> str:
    return name if name.isupper() else f"OPTSERVE_{name.upper()}"
