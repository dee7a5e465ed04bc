"""The running statistics of BatchNorm, computed from the training data for averaged weights."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from optcore.data.examples import served
from optcore.training.reports import Progress
from optcore.training.run import Run


def recompute_statistics(run: Run) -> Generator[Progress, None, None]:
    """
    Set the statistics of the average of *run* to their mean over the batches of the training data.

    The network has the averaged weights meanwhile. Each batch counts the same, the last one too,
    which may be shorter, as in torch's update_bn; unlike there, dropout is off and the data are not
    shuffled, so that nothing is drawn from a random generator.

    Yields:
        the progress, once per batch, when the network is that of the training.
    """
    ema = run.ema
    assert ema is not None
    means = {name: torch.zeros_like(ema.tensors[name]) for name in ema.statistics}
    buffers = dict(run.model.named_buffers())
    batches = run.dataset.train.inputs.split(run.spec.dataset.batch_size)
    for n, inputs in enumerate(batches):
        with torch.no_grad(), ema.in_place(), _of_the_batch(run.model), run.autocast:
            run.forward(served(inputs, run.dtype))
            for name, mean in means.items():
                mean.lerp_(buffers[name].to(mean.dtype), 1 / (n + 1))
        yield Progress(run.row)
    for name, mean in means.items():
        ema.tensors[name].copy_(mean)


@contextmanager
def _of_the_batch(model: nn.Module) -> Iterator[None]:
    """Let running statistics be those of the last batch, in a ``with`` block; else evaluate."""
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    before = [(norm, norm.momentum, norm.num_batches_tracked) for norm in norms]
    model.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
        if norm.num_batches_tracked is not None:
            norm.num_batches_tracked = norm.num_batches_tracked.clone()
    try:
        yield
    finally:
        for norm, momentum, count in before:
            norm.momentum, norm.num_batches_tracked = momentum, count
        model.train()
