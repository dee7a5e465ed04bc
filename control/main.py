"""
Runs the rounds in a process of their own: ``python -m control.main``.

With ``OPTSERVE_CONTROL=separate``, the API processes run no rounds. The service then needs at least
one process of this kind: without one, jobs of workers that died are never taken back. Several such
processes may run at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal

from control.rounds import rounds_of, run_forever
from store.redis.connect import connect
from store.redis.waiting import require_settings, require_store
from store.settings import Settings
from store.storage import preflight
from store.storage.storage import Storage

log = logging.getLogger(__name__)


def main() -> None:
    """Run the rounds until SIGTERM or SIGINT."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s control %(levelname)s %(message)s", force=True
    )
    settings = require_settings()
    preflight.require(preflight.of_api(settings))
    require_store(settings)
    asyncio.run(_run(settings))


async def _run(settings: Settings) -> None:
    with connect(settings.store_url, retries=3) as client:
        rounds = rounds_of(client, Storage(settings.storage_dir), settings)
        running = asyncio.create_task(run_forever(rounds))
        for number in (signal.SIGTERM, signal.SIGINT):
            # Cancelled, so that a round that is running gets LEAVE_S before its client is closed.
            asyncio.get_running_loop().add_signal_handler(number, running.cancel)
        log.info("running the rounds %s", ", ".join(each.name for each in rounds))
        with contextlib.suppress(asyncio.CancelledError):
            await running


if __name__ == "__main__":
    main()
