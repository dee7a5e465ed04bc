"""The lock on a real GPU bears the name of the card that torch uses."""

import os

import pytest
import torch

from worker.processes.gpu import gpu_name
from worker.processes.trainers import environment

pytestmark = pytest.mark.gpu


def test_the_lock_is_on_the_card_that_is_used() -> None:
    used = torch.cuda.get_device_properties(0).uuid

    assert gpu_name(environment(os.environ)) == f"GPU-{used}"
