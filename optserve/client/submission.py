"""Requests that submit a job or act on one. A repeated request does not take effect twice."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError, to_json

from optserve.client.backoff import Backoff
from optserve.client.connection import ANSWER_S, Connection
from optserve.client.errors import BadJob, NotTheService, ServiceError, Unanswered, Unreachable
from optserve.contract.answers.jobs import Job

# Right before the deadline, the time that is left would not even suffice to connect.
MIN_TIMEOUT_S = 0.1


def encode(spec: BaseModel | Mapping[str, Any]) -> bytes:
    """
    Return *spec* as JSON.

    Raises:
        BadJob: *spec* contains a value that JSON cannot represent.
    """
    if isinstance(spec, BaseModel):
        return spec.model_dump_json().encode()
    try:
        # With the token NaN the whole text would not be JSON. The service refuses the string "NaN",
        # and names the field.
        return to_json(spec, inf_nan_mode="strings")
    except PydanticSerializationError as error:
        raise BadJob(f"the job must be representable as JSON: {error}") from None


def post_job(
    connection: Connection,
    path: str,
    content: bytes,
    *,
    idempotency_key: str | None,
    backoff: Backoff,
) -> Job:
    """
    Post *content* to *path*, which creates a job, and return the job.

    The request is repeated with the same idempotency key while the service is unavailable, so that
    a lost response does not create a second job.

    Raises:
        Unanswered: a request was sent, but no response says whether the job was accepted.
        Unreachable: no request could be sent, so no job was created.
        ServiceError: the service refused the job.
        NotTheService: something other than an optserve service responded, and no earlier request
            can have reached the service.
    """
    key = _checked_key(idempotency_key or str(uuid.uuid4()))
    sent = False
    backoff.start()  # time spent in attempts counts, or a hanging service would block for hours
    while True:
        # The deadline bounds the whole call, so an attempt near the deadline gets less time. The
        # timeout is per read: a response that arrives byte by byte may still take longer.
        timeout_s = min(ANSWER_S, max(backoff.remaining_s(), MIN_TIMEOUT_S))
        try:
            return connection.request(
                Job,
                "POST",
                path,
                content=content,
                headers={"Idempotency-Key": key},
                timeout_s=timeout_s,
            )
        except NotTheService as error:
            if sent:
                raise Unanswered(error, key) from error
            raise
        except (Unreachable, ServiceError) as error:
            if isinstance(error, ServiceError) and error.refused:
                if sent:
                    raise ServiceError(error.problem, idempotency_key=key) from error
                raise
            # If any attempt may have arrived, the job may exist, even if a later one was not sent.
            sent = sent or isinstance(error, ServiceError) or error.sent
            if error.is_temporary and backoff.wait():
                continue
            if sent:
                raise Unanswered(error, key) from error
            raise


def post_action(connection: Connection, path: str, backoff: Backoff) -> Job:
    """Post an action and return the job; repeat the request while the service is unavailable."""
    backoff.start()
    while True:
        try:
            return connection.request(Job, "POST", path)
        except (Unreachable, ServiceError) as error:
            if not (error.is_temporary and backoff.wait()):
                raise


def _checked_key(key: str) -> str:
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise BadJob(
            f"an idempotency key must be 1 to 255 ASCII characters without spaces, got {key!r}"
        )
    return key
