"""Whether the worker on this host is well: ``python -m worker.health``, for container engines."""

from __future__ import annotations

import socket
import sys

import redis

from jobs.keys import WORKER, WORKERS
from jobs.settings import Settings


def main() -> None:
    """Exit with 0 if a worker of this host has said hello of late."""
    host = socket.gethostname()
    with redis.from_url(Settings().store_url, decode_responses=True, socket_timeout=5) as client:
        ids = client.zrange(WORKERS, 0, -1)
        hosts = [client.hget(WORKER % worker_id, "host") for worker_id in ids]
    if host not in hosts:
        sys.exit(f"no worker on {host} has said hello of late")


if __name__ == "__main__":
    main()
