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
    """Folder for the files of the service. Its folders `data`, `storage` and `run` are the defaults
    of OPTSERVE_DATA, OPTSERVE_STORAGE and OPTSERVE_RUN. `optserve up` also keeps its logs and the
    data of its embedded Redis server there."""
    # The prefix does not apply to a field with an alias, so the alias spells it out. If both
    # variables are set, the first one counts.
    redis_url: str | None = Field(
        None, validation_alias=AliasChoices("OPTSERVE_REDIS_URL", "REDIS_URL")
    )
    """URL (redis://, rediss:// or unix://) of the Redis or Valkey server, which must be version 7
    or newer. The variable may also be called REDIS_URL. If it is not set, `optserve up` runs an
    embedded server. A process that is started without `optserve up` requires the variable."""
    # Below redis_url, which its validator reads: pydantic validates fields in this order.
    redis_password_file: Path | None = None
    """File that holds the password for the server at OPTSERVE_REDIS_URL. It keeps the password out
    of the URL, which `ps` and `docker inspect` show as an environment variable."""
    data: Path | None = None
    """Folder that contains the datasets, each in a folder of its own. The service never changes the
    datasets. Default: `data` in OPTSERVE_HOME."""
    storage: Path | None = None
    """Folder for the files of all jobs: checkpoints, artifacts and archived metrics. The API and
    all workers must use the same folder. Default: `storage` in OPTSERVE_HOME."""
    run: Path | None = None
    """Folder on a local disk for a lock for each GPU, and for a journal of each running job. All
    workers on a machine must use the same folder. A journal is a copy of the metrics that Redis has
    confirmed. If Redis loses metrics, they are sent again from the journal. A journal takes space
    on the disk, but is a file without a name: a listing of the folder does not show it. Default:
    `run` in OPTSERVE_HOME."""
    control: Literal["api", "separate"] = "api"
    """Which processes do the upkeep of jobs: they queue the jobs of dead workers again, archive
    ended jobs, and remove old jobs. `api`: every API process. `separate`: only processes started as
    ``python -m control.main``."""
    host: str = "127.0.0.1"
    """Address on which the API listens."""
    port: int = Field(8000, ge=0, le=65535)
    """Port on which the API listens; 0 for any free port."""
    allowed_hosts: list[str] | None = None
    """Host names that the Host header of a request may contain, as a JSON list.
    ``*.example.org`` allows all subdomains of example.org. ``*`` allows any name. IP addresses are
    always allowed. Default: localhost and the name of this machine. The list protects against DNS
    rebinding: a web page whose host name resolves to this machine could otherwise use the API
    through the browser of a visitor."""
    max_body_bytes: int = Field(1_048_576, ge=1024)
    """Maximum size of a request body, in bytes. A request with a larger body gets 413."""
    max_head_bytes: int = Field(32 * 1024, ge=1024)
    """Maximum size of a request line and its headers together, in bytes. A larger request gets 431,
    or 414 if its URL alone takes more than half of this size."""
    head_timeout_s: float = Field(15.0, gt=0)
    """Maximum seconds in which a client must send the first line and the headers of a request. A
    slower client gets 408. If a client sends nothing at all in this time, its connection is closed
    without a response."""
    body_timeout_s: float = Field(20.0, gt=0)
    """Maximum seconds in which a client must send the body of a request. A slower client gets 408.
    For every OPTSERVE_BODY_BYTES_PER_S bytes of the body that have arrived, the client gets one
    more second."""
    body_bytes_per_s: float = Field(4096.0, gt=0)
    """Minimum rate, in bytes per second, at which a client must send a request body after the first
    OPTSERVE_BODY_TIMEOUT_S seconds. Each time that this many bytes have arrived, the client gets
    another second."""
    idle_timeout_s: float = Field(20.0, gt=0)
    """Maximum seconds that a connection stays open after a response if its client sends no further
    request."""
    max_connections: int | None = Field(None, ge=1)
    """Maximum number of open connections of an API process. Further clients get 503 with
    Retry-After. The number is lowered to the process's limit on open files (RLIMIT_NOFILE) minus
    256, if that is smaller. Default: 8,192."""
    max_connections_per_peer: int | None = Field(None, ge=1)
    """Maximum open connections from one client address (for IPv6, from one /64 network) per API
    process. Further clients get 503 with Retry-After. All clients behind a proxy, or behind a
    port published by Docker, have the same address. Default: three quarters of
    OPTSERVE_MAX_CONNECTIONS, so that one address cannot take all connections."""
    # Without this limit, 150 clients that requested an export and did not read it took 400 MB.
    max_unsent_bytes: int = Field(64 * 2**20, ge=2**20)
    """Maximum bytes of responses that clients have not read yet, in the memory of an API process.
    Streams are not counted. Beyond the maximum, the process disconnects clients, beginning with
    those that have read nothing for the longest time."""
    # 200 connections, each with an unfinished body just below the limit for one body, took a
    # process from 163 to 377 MB; compose gives it 512 MB.
    max_total_body_bytes: int = Field(64 * 2**20, ge=2**20)
    """Maximum total bytes of request bodies in the memory of an API process. A body is in memory
    from its first byte until the response starts. While the total is above the maximum, the process
    refuses requests whose bodies are still arriving, with 503 and Retry-After. It begins with the
    client address that has sent the most bytes, and with the oldest request from there. A value
    below OPTSERVE_MAX_BODY_BYTES counts as OPTSERVE_MAX_BODY_BYTES."""
    max_streams: int = Field(2000, ge=1)
    """Maximum number of open streams (server-sent events) of an API process. Further streams get
    503 with Retry-After."""
    # At most 30, well within the 45 s after which a client takes a stream for broken.
    stream_ping_s: float = Field(10.0, gt=0, le=30)
    """Seconds after which the API sends a ping on a stream (server-sent events) on which it has
    sent nothing else. A client reconnects if it receives nothing for 45 seconds."""
    stream_stall_s: float = Field(15.0, gt=0)
    """Disconnect a client that reads less than 16 KB of a response (a stream, a download, a page)
    in this many seconds, while more data waits to be sent."""
    stream_age_s: float = Field(3600.0, gt=0)
    """Seconds after which the API ends a stream (server-sent events). The actual time differs by up
    to 10 % at random, so that not all clients reconnect together. A client then reconnects and
    resumes."""
    storage_patience_s: float = Field(20.0, gt=0)
    """Maximum seconds that a request waits for a file in the storage. After that time the request
    gets 503. For every 10 MB of the file, the maximum is one second longer."""
    lease_s: float = Field(30.0, gt=1)
    """Seconds for which a worker's lease on a job lasts. With a lease, no other worker can take the
    job. The worker renews its lease while the training makes progress. When the lease has expired,
    the job is taken from the worker and queued again."""
    # 600 s for setup and 420 s for a checkpoint are what NVIDIA's ft_launcher allows. Its 180 s for
    # a step are not used: here, slow steps raise their own limit.
    setup_limit_s: float = Field(600.0, gt=1)
    """Maximum seconds for each part of setting up a run, such as reading the dataset or a
    checkpoint. If a part takes longer, the run counts as hung: its process is ended, and the job is
    queued again."""
    step_limit_s: float = Field(60.0, gt=1)
    """Maximum seconds for a training step, or 20 times the median duration of the run's latest
    steps if that is longer. After that the run counts as hung: its process is ended, and the job is
    queued again."""
    checkpoint_limit_s: float = Field(420.0, gt=1)
    """Maximum seconds for writing a checkpoint. If writing takes longer, the run counts as hung:
    its process is ended, and the job is queued again."""
    fault_patience_s: float = Field(30.0, ge=0)
    """Seconds for which a run tries again to read or write a file while the storage fails (the
    mount returns errors, or is read-only). After that, the job is queued again, so that another
    worker can take it. If the storage is full, this limit does not apply: the run waits for
    space."""
    missing_after_s: float = Field(600.0, ge=0)
    """Seconds for which a job waits for the files of a checkpoint, if they are missing from a
    storage that otherwise works. After that, the job continues from an older checkpoint, or from
    step 0 if there is none."""
    max_unstored_bytes: int = Field(64 * 2**20, ge=2**16)
    """Maximum size, in bytes, of a run's metrics that a worker holds in memory while Redis is
    unavailable or slow. At the maximum, training pauses until Redis stores metrics again. The
    default is enough for 10 minutes at 7,000 steps per second with two metrics per step."""
    offer_after_s: float = Field(300.0, ge=0)
    """Seconds without a suitable worker after which a queued job offers other ways to continue.
    A worker is suitable if it has the fingerprint (the hardware and library versions) with which
    the job's steps were computed so far. The job's field `offers` then lists two actions: `restart`
    (from step 0), and `accept` (continue on a worker whose results may differ in the last bits)."""
    keep_days: float | None = Field(None, ge=0)
    """Number of days for which a job is kept after it has ended. After that, the job is removed,
    with its metrics and files. Default: no limit."""
    keep_jobs: int | None = Field(None, ge=0)
    """Maximum number of ended jobs. While there are more, the jobs that ended first are removed,
    with their metrics and files. Default: no limit."""
    keep_bytes: int | None = Field(None, ge=0)
    """Maximum total size, in bytes, of the files of ended jobs. While the total is larger, the
    jobs that ended first are removed, with their metrics and files. Default: no limit."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device on which a worker trains. `auto`: a GPU if the machine has one, and the CPU if not."""
    worker_host: str = "127.0.0.1"
    """Address on which a worker listens for health checks. A worker listens only if
    OPTSERVE_WORKER_PORT is set."""
    worker_port: int | None = Field(None, ge=0, le=65535)
    """Port on which a worker listens for health checks: ``GET /healthz`` and ``GET /readyz``.
    Default: a worker does not listen for health checks."""
    workers_on_machine: int = Field(1, ge=1)
    """Number of workers that share the CPU cores of this machine. The number of threads of a worker
    is the number of cores divided by this number, rounded down, and at least 1."""

    @field_validator("redis_password_file")
    @classmethod
    def _is_of_use(cls, file: Path | None, info: ValidationInfo) -> Path | None:
        if file is not None and info.data.get("redis_url") is None:
            raise PydanticCustomError(
                RULE,
                "OPTSERVE_REDIS_URL must be set if OPTSERVE_REDIS_PASSWORD_FILE is set: the "
                "password is for the server at this URL",
            )
        return file

    @property
    def store_url(self) -> str:
        """URL of the Redis server, with the password; raises ValueError if no URL is set."""
        if self.redis_url is None:
            # REDIS_URL is not required: `optserve up` reads the settings before its server runs.
            raise ValueError("OPTSERVE_REDIS_URL must be set to the URL of the Redis server")
        if self.redis_password_file is None:
            return self.redis_url
        return with_password(self.redis_url, self.redis_password_file.read_text().strip())

    @property
    def hosts(self) -> list[str]:
        """Host names that the Host header of a request to the API may contain."""
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
