"""
The functions beside a model of them, over random histories.

A history is any order of what clients, workers, workers thought dead, and the reaper do. After
each step the store must be what the model says: nothing lost, nothing twice, every index true.
"""

import pytest

from optserve.local.embedded import EmbeddedServer
from tests.support.store.histories import run

pytestmark = pytest.mark.usefixtures("functions_restored")


@pytest.mark.long
def test_random_histories_are_what_the_model_says(server: EmbeddedServer) -> None:
    run(server, 60)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(10))
def test_ten_thousand_random_histories_are_what_the_model_says(
    server: EmbeddedServer, part: int
) -> None:
    """In parts, each with random numbers of its own: a thousand take some six minutes."""
    run(server, 1000)
