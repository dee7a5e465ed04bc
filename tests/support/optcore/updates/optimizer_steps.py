"""A small network, trained on fixed batches by whatever optimizer there is."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def network(dtype: torch.dtype = torch.float32) -> nn.Sequential:
    """A network with parameters read in place (256x300) and gathered ones."""
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(300, 256), nn.Tanh(), nn.Linear(256, 9), nn.Tanh()).to(dtype)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
    dtype = next(model.parameters()).dtype
    for step in steps:
        inputs = torch.randn(8, 300, generator=torch.Generator().manual_seed(step)).to(dtype)

        def loss(inputs: Tensor = inputs) -> float:
            optimizer.zero_grad()
            found = model(inputs).square().mean()
            found.backward()
            return float(found.detach())

        if getattr(optimizer, "needs_closure", False):
            optimizer.step(loss)
        else:
            loss()
            optimizer.step()


def weights(model: nn.Module) -> list[Tensor]:
    return [param.detach().clone() for param in model.parameters()]


def same_bits(ours: list[Tensor], theirs: list[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
