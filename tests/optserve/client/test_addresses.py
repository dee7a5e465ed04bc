"""URLs that are shown have no passwords."""

import pytest

from optserve.client.addresses import redact


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://127.0.0.1:6379/0", "redis://127.0.0.1:6379/0"),
        ("unix:///tmp/redis.sock?db=1", "unix:///tmp/redis.sock?db=1"),
        ("redis://:s3cret@host:6379/0", "redis://***@host:6379/0"),
        ("rediss://ann:s3cret@host/0", "rediss://***@host/0"),
        ("redis://ann:s3@cr/et@host/0", "redis://***@host/0"),
        ("unix://ann:s3cret@/tmp/redis.sock", "unix://***@/tmp/redis.sock"),
        ("redis://host/0?password=s3cret&db=2", "redis://host/0?password=***&db=2"),
        ("redis://host?db=2&password=s3cret", "redis://host?db=2&password=***"),
    ],
)
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert redact(url) == shown
