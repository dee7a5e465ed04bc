"""Tests that need CUDA; elsewhere they are skipped, and say so."""

import pytest
import torch


@pytest.fixture(autouse=True)
def cuda() -> None:
    """Skip where there is no GPU."""
    if not torch.cuda.is_available():
        pytest.skip("needs CUDA")
