"""
A worker: ``python -m worker.main``.

It listens for one device's bell until SIGTERM or SIGINT, which let the present job be saved and
given back. A Redis that goes away is waited for.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import subprocess
import sys
import time

import redis
from redis.backoff import ExponentialBackoff
from redis.retry import Retry
from rq.exceptions import StopRequested
from rq.serializers import JSONSerializer

from store.redis.functions import UNAVAILABLE
from store.redis.keys import queue_name
from store.redis.waiting import require_settings, require_store
from store.settings import Settings
from store.storage import preflight
from worker import ready
from worker.doorbell import Listener, Message
from worker.loop import Post

log = logging.getLogger(__name__)

AGAIN_S = 1.0
"""Seconds before listening again after the connection was lost."""
DRIVER_S = 60
"""Seconds in which the driver must list the GPUs."""
LISTENER_TTL_S = 60
"""RQ's own idea of when a silent worker is gone; only decides how often it wakes up."""


def main() -> None:
    """Listen until told to stop."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s worker %(levelname)s %(message)s", force=True
    )
    settings = require_settings()
    preflight.require(preflight.of_worker(settings))
    require_store(settings)
    client = connect(settings.store_url)
    post = Post(client, settings, device(settings))
    Listener.post = post
    if settings.worker_port is not None:
        ready.serve(settings.worker_host, settings.worker_port, lambda: post.why_not)
    _open(post, settings)
    log.info("%s listens for %s jobs", post.id, post.device)
    try:
        while not post.draining:
            _listen(client, post)
    except (StopRequested, SystemExit):
        pass
    finally:
        post.close()
    log.info("%s leaves", post.id)


def connect(url: str) -> redis.Redis:
    """Return a client that hides a lost connection, but not a lost server: `main` waits for one."""
    return redis.from_url(url, retry=Retry(ExponentialBackoff(cap=0.5, base=0.05), 3))


def device(settings: Settings) -> str:
    """Return what this machine trains on: cuda if it has a GPU (and nobody said otherwise)."""
    if settings.device != "auto":
        return settings.device
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


def _open(post: Post, settings: Settings) -> None:
    """Open the post; a store that went away again is waited for again."""
    while True:
        try:
            post.open()
        except UNAVAILABLE as error:
            log.warning("%s lost the store: %s", post.id, error)
            require_store(settings)
        else:
            return


def _listen(client: redis.Redis, post: Post) -> None:
    try:
        listener = Listener(  # asks the store already
            [queue_name(post.device)],
            name=f"{post.id}-{secrets.token_hex(3)}",  # RQ refuses a name it still knows
            connection=client,
            job_class=Message,
            serializer=JSONSerializer,
            worker_ttl=LISTENER_TTL_S,
            log_job_description=False,
        )
        listener.work(logging_level="WARNING")
    except redis.RedisError as error:
        log.warning("%s lost the store: %s", post.id, error)
    if not post.draining:
        time.sleep(AGAIN_S)


if __name__ == "__main__":
    main()
