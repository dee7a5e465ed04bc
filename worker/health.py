"""Health check for container engines: ``python -m worker.health``."""

from __future__ import annotations

import socket
import sys

from store.redis.connect import connect
from store.redis.keys import WORKER, WORKERS
from store.settings import Settings


def main() -> None:
    """Exit with 0 if this host has live workers, and all of them can take jobs; else with 1."""
    host = socket.gethostname()
    with connect(Settings().store_url, decode=True) as client:
        ids = client.zrange(WORKERS, 0, -1)
        found = [client.hmget(WORKER % worker_id, ("host", "unwell")) for worker_id in ids]
    states = [reason for its_host, reason in found if its_host == host]
    if not states:
        sys.exit(f"no worker on {host} has sent a heartbeat lately")
    for reason in filter(None, states):
        sys.exit(f"a worker on {host} takes no jobs: {reason}")


if __name__ == "__main__":
    main()
