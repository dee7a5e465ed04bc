"""Startup of a service process: wait until Redis is available, and refuse an unsafe server."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

import redis
from redis.exceptions import AuthenticationError, AuthorizationError

from store.errors import StoreUnsafe
from store.redis.connect import connect
from store.redis.functions import UNAVAILABLE, cannot_write
from store.redis.server import prepare
from store.settings import BadSettings, Settings, read_settings

log = logging.getLogger(__name__)

AGAIN_S = 0.5
"""Seconds between two tries to reach the Redis server."""


def require_settings() -> Settings:
    """
    Return the settings from the environment.

    If a setting is wrong, end this process with a message and the exit code EX_CONFIG.
    """
    try:
        return read_settings()
    except BadSettings as error:
        _refuse(str(error))


def require_store(settings: Settings) -> None:
    """
    Wait until the Redis server is available and has the Lua functions.

    While waiting, SIGTERM and SIGINT end this process at once, with exit code 0.

    If waiting would not help, the process ends with a message and the exit code EX_CONFIG. Waiting
    does not help if the server is configured so that it could lose jobs, or if it rejects this
    service's password or commands.
    """
    with _leaving_at_once(), _client(settings) as client:
        away = False
        while (why := _missing(client)) is not None:
            if not away:
                log.warning("waiting for the store: %s", why)
            away = True
            time.sleep(AGAIN_S)
        if away:
            log.info("the store is available")


def _client(settings: Settings) -> redis.Redis:
    try:
        url = settings.store_url
    except ValueError as error:
        _refuse(str(error))
    try:
        return connect(url)
    except ValueError:  # the text of the error may contain a part of the password
        _refuse("REDIS_URL must be redis://HOST:PORT/NUMBER, rediss:// or unix://PATH")


def _missing(client: redis.Redis) -> str | None:
    """Return why the Redis server cannot be used now, or None if it can."""
    try:
        prepare(client)
    except StoreUnsafe as error:
        _refuse(str(error))
    # Subclasses of redis-py's ConnectionError, which is in UNAVAILABLE: caught after it, they would
    # be waited for, but a wrong password stays wrong.
    except (AuthenticationError, AuthorizationError) as error:
        _refuse(f"the Redis server refuses this service: {error}")
    except UNAVAILABLE as error:
        return str(error)
    # `prepare` sends plain commands, so errors arrive here as the server sent them. A full or
    # read-only server may recover; any other error would only be repeated.
    except redis.ResponseError as error:
        if not cannot_write(error):
            _refuse(f"the Redis server refuses this service: {error}")
        return str(error)
    return None


def _refuse(message: str) -> NoReturn:
    sys.stderr.write(f"{message}\n")
    sys.exit(os.EX_CONFIG)


@contextlib.contextmanager
def _leaving_at_once() -> Iterator[None]:
    def leave(number: int, frame: FrameType | None) -> None:
        del number, frame
        logging.shutdown()
        os._exit(0)  # nothing was started, and the interpreter's cleanup takes a while

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
