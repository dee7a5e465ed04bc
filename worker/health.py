"""Whether the worker on this host is well: ``python -m worker.health``, for container engines."""

from __future__ import annotations

import socket
import sys

import redis

from store.redis.keys import WORKER, WORKERS
from store.settings import Settings


def main() -> None:
    """Exit with 0 if a worker of this host has said hello of late, and all of them take jobs."""
    host = socket.gethostname()
    with redis.from_url(Settings().store_url, decode_responses=True, socket_timeout=5) as client:
        ids = client.zrange(WORKERS, 0, -1)
        found = [client.hmget(WORKER % worker_id, ("host", "unwell")) for worker_id in ids]
    states = [unwell for its_host, unwell in found if its_host == host]
    if not states:
        sys.exit(f"no worker on {host} has said hello of late")
    for unwell in filter(None, states):
        sys.exit(f"a worker on {host} takes no jobs: {unwell}")


if __name__ == "__main__":
    main()
