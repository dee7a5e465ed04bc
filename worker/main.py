"""
A worker: ``python -m worker.main``.

It takes jobs for one device until SIGTERM or SIGINT; then the present job is saved and given back.
While Redis is away, it waits.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import subprocess
import sys
import time

import redis
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer

from store.redis.connect import connect
from store.redis.functions import UNAVAILABLE
from store.redis.keys import queue_name
from store.redis.waiting import require_settings, require_store
from store.settings import Settings
from store.storage import preflight
from worker import ready
from worker.doorbell import Listener, Message
from worker.loop import WorkerLoop
from worker.processes.trainers import MODULE

log = logging.getLogger(__name__)

RETRY_S = 1.0
"""Seconds before listening again after the connection was lost."""
DRIVER_S = 60
"""Seconds that the driver gets to list the GPUs."""
LISTENER_TTL_S = 60
"""Seconds after which RQ counts a silent worker as gone; sets how often RQ wakes up."""


def main(*, trainer_module: str = MODULE) -> None:
    """
    Take jobs until told to stop.

    Args:
        trainer_module: with the `main` that a trainer runs.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s worker %(levelname)s %(message)s", force=True
    )
    settings = require_settings()
    preflight.require(preflight.of_worker(settings))
    require_store(settings)
    # It reconnects by itself; a server that stays away is waited for below.
    client = connect(settings.store_url, retries=3)
    loop = WorkerLoop(client, settings, device(settings), trainer_module=trainer_module)
    # On the class: RQ imports `answer` by its name and calls it with what the message holds.
    Listener.loop = loop
    # Before the loop is opened, so that a supervisor is told what is waited for.
    if settings.worker_port is not None:
        ready.serve(settings.worker_host, settings.worker_port, lambda: loop.not_ready)
    _open(loop, settings)
    log.info("%s listens for %s jobs", loop.id, loop.device)
    try:
        while not loop.draining:
            _listen(client, loop)
    # Raised by RQ's signal handlers, which stay installed between two listeners: the first for a
    # signal while idle, the second for a second signal.
    except (StopRequested, SystemExit):
        pass
    finally:
        loop.close()
    log.info("%s leaves", loop.id)


def device(settings: Settings) -> str:
    """Return the device set, or by default cuda if this machine has a GPU, else cpu."""
    if settings.device != "auto":
        return settings.device
    # Not by torch, which takes seconds to import and is never imported in this process.
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "cpu"
    try:
        listed = subprocess.run(
            [tool, "-L"], capture_output=True, text=True, check=False, timeout=DRIVER_S
        )
    except subprocess.TimeoutExpired:
        sys.exit(f"{tool} has not answered within {DRIVER_S} s: set OPTSERVE_DEVICE, or mend it")
    return "cuda" if "GPU 0" in listed.stdout else "cpu"


def _open(loop: WorkerLoop, settings: Settings) -> None:
    """Open the loop, once the store is there."""
    while True:
        try:
            loop.open()
        except UNAVAILABLE as error:
            log.warning("%s lost the store: %s", loop.id, error)
            require_store(settings)
        else:
            return


def _listen(client: redis.Redis, loop: WorkerLoop) -> None:
    """Listen to the doorbell until told to stop, or until the connection is lost."""
    try:
        listener = Listener(  # this calls the store already
            # A single queue. Of two or more RQ takes messages with BLPOP, which loses one if the
            # worker dies or its reply is lost; of one it moves them to a second list with BLMOVE.
            [queue_name(loop.device)],
            name=f"{loop.id}-{secrets.token_hex(3)}",  # RQ refuses a name that it still knows
            connection=client,
            job_class=Message,
            serializer=JSONSerializer,
            worker_ttl=LISTENER_TTL_S,
            log_job_description=False,
        )
        # Also returns when the connection is lost or a message cannot be read: RQ logs that and
        # quits.
        listener.work(logging_level="WARNING")
    except redis.RedisError as error:
        log.warning("%s lost the store: %s", loop.id, error)
    if not loop.draining:
        time.sleep(RETRY_S)


if __name__ == "__main__":
    main()
