"""What the tests of the local stack share."""

from pathlib import Path

import pytest

from tests.support.service.homes import home_with_jobs


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with a job that has ended, one that waits and one that runs."""
    return home_with_jobs(tmp_path / "home")
