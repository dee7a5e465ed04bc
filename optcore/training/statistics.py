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
    Compute the running statistics of BatchNorm for the averaged weights of *run*.

    The network computes its outputs for all training data, batch by batch, with the averaged
    weights. The new statistics are the mean of the batches' statistics. All batches have the same
    weight in this mean, even a shorter last one, as in torch's update_bn. Unlike in update_bn,
    dropout is off and the data are not shuffled, so that no random numbers are drawn.

    Yields:
        the progress, once per batch; the network then has the trained weights.
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
    """
    Let each forward pass inside a ``with`` block set the running statistics to those of its batch.

    Layers without running statistics, such as dropout, are in evaluation mode there, and so are
    norms whose statistics do not move in training.
    """
    norms = [each for each in model.modules() if isinstance(each, _BatchNorm) and each.training]
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
