"""Measures the latency of the calls from this process to the store."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, ParamSpec, TypeVar

import redis.asyncio

Given = ParamSpec("Given")
Answer = TypeVar("Answer")
Observe = Callable[[float], object]
"""Function that is called with the duration of a store call, in seconds."""


def time_calls(client: redis.asyncio.Redis, observe: Observe) -> None:
    """Call *observe* with the duration of each call and each pipeline of *client*."""
    # The instance is wrapped, not its class: commands call `execute_command` on the instance.
    untyped: Any = client
    plain = untyped.pipeline

    def pipeline(*args: object, **options: object) -> object:
        pipe = plain(*args, **options)
        pipe.execute = _timed(pipe.execute, observe)
        return pipe

    untyped.execute_command = _timed(untyped.execute_command, observe)
    untyped.pipeline = pipeline


def _timed(
    call: Callable[Given, Awaitable[Answer]], observe: Observe
) -> Callable[Given, Awaitable[Answer]]:
    async def timed(*args: Given.args, **options: Given.kwargs) -> Answer:
        start = time.perf_counter()
        try:
            return await call(*args, **options)
        finally:
            observe(time.perf_counter() - start)

    return timed
