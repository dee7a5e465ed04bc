"""
Runs a worker: ``python -m worker.main``.

The worker trains jobs for one device until SIGTERM or SIGINT; then it saves the current run and
releases its job. While Redis is unavailable, the worker waits.
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

from store.packages import require_packages
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
"""Seconds to wait before listening again after the connection to Redis was lost."""
DRIVER_S = 60
"""Seconds to wait for nvidia-smi to list the GPUs."""
LISTENER_TTL_S = 60
"""Seconds without a heartbeat after which RQ counts a worker as gone. RQ also computes from this
value how long it waits for a message."""


def main(*, trainer_module: str = MODULE) -> None:
    """
    Run a worker until SIGTERM or SIGINT.

    Args:
        trainer_module: the name of the module whose `main` a trainer process runs.
    """
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s worker %(levelname)s %(message)s", force=True
    )
    settings = require_settings()
    require_packages(code=True)
    preflight.require(preflight.of_worker(settings))
    require_store(settings)
    # The client reconnects by itself; if the server stays down, `_open` and `_listen` wait.
    client = connect(settings.store_url, retries=3)
    loop = WorkerLoop(client, settings, device(settings), trainer_module=trainer_module)
    # Set on the class: RQ imports `answer` by its name and calls it with the message's arguments.
    Listener.loop = loop
    # Served before the loop is opened, so that a supervisor can read what the worker waits for.
    if settings.worker_port is not None:
        ready.serve(settings.worker_host, settings.worker_port, lambda: loop.not_ready)
    _open(loop, settings)
    log.info("%s listens for %s jobs", loop.id, loop.device)
    try:
        while not loop.draining:
            _listen(client, loop)
    # Raised by RQ's signal handlers, which stay installed between two listeners: StopRequested for
    # a signal while the worker is idle, SystemExit for a second signal.
    except (StopRequested, SystemExit):
        pass
    finally:
        loop.close()
    log.info("%s has stopped", loop.id)


def device(settings: Settings) -> str:
    """Return the device in *settings*; for ``auto``, return cuda if there is a GPU, else cpu."""
    if settings.device != "auto":
        return settings.device
    # Not with torch, which takes seconds to import and is never imported in this process.
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return "cpu"
    try:
        listed = subprocess.run(
            [tool, "-L"], capture_output=True, text=True, check=False, timeout=DRIVER_S
        )
    except subprocess.TimeoutExpired:
        sys.exit(
            f"{tool} did not finish within {DRIVER_S} s: repair the GPU's driver, or set "
            "OPTSERVE_DEVICE to cpu or cuda"
        )
    return "cuda" if "GPU 0" in listed.stdout else "cpu"


def _open(loop: WorkerLoop, settings: Settings) -> None:
    """Open the loop; if Redis becomes unavailable, wait for it and try again."""
    while True:
        try:
            loop.open()
        except UNAVAILABLE as error:
            log.warning("%s lost the connection to Redis: %s", loop.id, error)
            require_store(settings)
        else:
            return


def _listen(client: redis.Redis, loop: WorkerLoop) -> None:
    """Handle doorbell messages until the worker is stopped or the connection is lost."""
    try:
        listener = Listener(  # already connects to Redis
            # A single queue. From several queues RQ takes messages with BLPOP, which loses one if
            # the worker dies or the reply is lost; from one queue, it moves them to a second list
            # with BLMOVE.
            [queue_name(loop.device)],
            name=f"{loop.id}-{secrets.token_hex(3)}",  # RQ rejects a name that is still registered
            connection=client,
            job_class=Message,
            serializer=JSONSerializer,
            worker_ttl=LISTENER_TTL_S,
            log_job_description=False,
        )
        # This also returns when the connection is lost or a message cannot be read: RQ logs the
        # error and quits.
        listener.work(logging_level="WARNING")
    except redis.RedisError as error:
        log.warning("%s lost the connection to Redis: %s", loop.id, error)
    if not loop.draining:
        time.sleep(RETRY_S)


if __name__ == "__main__":
    main()
