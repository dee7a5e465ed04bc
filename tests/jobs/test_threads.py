"""Threads that may hang."""

from __future__ import annotations

import subprocess
import sys

HANGS = """
import asyncio, threading
from jobs.threads import Threads

async def main():
    threads = Threads(1)
    for _ in range(2):
        try:
            await asyncio.wait_for(threads.run(threading.Event().wait), 0.1)
        except TimeoutError:
            print("hung")

asyncio.run(main())
"""


def test_a_process_ends_whose_threads_hang() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", HANGS], capture_output=True, text=True, timeout=20, check=True
    )

    assert ended.stdout.split() == ["hung", "hung"]
