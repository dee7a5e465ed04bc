"""How a service begins: it waits for a store that is away, and refuses one that is not safe."""

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
"""Seconds before it is asked again."""


def require_settings() -> Settings:
    """Return the settings of the environment; wrong ones end this process with EX_CONFIG."""
    try:
        return read_settings()
    except BadSettings as error:
        _refuse(str(error))


def require_store(settings: Settings) -> None:
    """
    Wait until the store is there and has the functions.

    SIGTERM and SIGINT meanwhile end this process at once, with exit code 0. A store that would
    lose jobs, or that does not let this service in, ends it with a line and the exit code
    EX_CONFIG: that does not pass by itself.
    """
    with _leaving_at_once(), _client(settings) as client:
        away = False
        while (why := _missing(client)) is not None:
            if not away:
                log.warning("waiting for the store: %s", why)
            away = True
            time.sleep(AGAIN_S)
        if away:
            log.info("the store is there")


def _client(settings: Settings) -> redis.Redis:
    try:
        url = settings.store_url
    except ValueError as error:
        _refuse(str(error))
    try:
        return connect(url)
    except ValueError:  # its text may hold a part of the password
        _refuse("REDIS_URL must be redis://HOST:PORT/NUMBER, rediss:// or unix://PATH")


def _missing(client: redis.Redis) -> str | None:
    """Return why the store cannot be used now, or None if it can."""
    try:
        prepare(client)
    except StoreUnsafe as error:
        _refuse(str(error))
    # Subclasses of redis-py's ConnectionError, which UNAVAILABLE holds: below it they would be
    # waited for, and a wrong password does not become right.
    except (AuthenticationError, AuthorizationError) as error:
        _refuse(f"the Redis server refuses: {error}")
    except UNAVAILABLE as error:
        return str(error)
    # `prepare` sends commands of its own, so errors arrive here as the server gave them. Of a full
    # or read-only server they may pass; any other would only be repeated.
    except redis.ResponseError as error:
        if not cannot_write(error):
            _refuse(f"the Redis server refuses: {error}")
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
        os._exit(0)  # nothing was begun, and tidying up what was imported takes a while

    before = {number: signal.signal(number, leave) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
