"""What tests of all kinds share."""

import os
from pathlib import Path

import pytest

from optserve.datasets import FetchFailed, fetch_mnist

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The data directory of this checkout; MNIST in it is only there if a test asked for it."""
    return Path(os.environ.get("OPTSERVE_HOME", ROOT / ".optserve")) / "data"


@pytest.fixture(scope="session")
def mnist(data_dir: Path) -> Path:
    """The data directory with MNIST in it, fetched as a user would."""
    try:
        fetch_mnist(data_dir / "mnist", lambda line: None)
    except FetchFailed as error:
        pytest.skip(str(error))
    return data_dir
