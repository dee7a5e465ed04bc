"""
The forward pass of a network, without what torch's modules do around their kernels.

A network of many small layers spends a tenth of its step on that: on calls of modules, on checks of
what the spec has checked already, on a kernel per batch norm that counts its batches, and on sums
and relus that write to new memory. Outputs, gradients and buffers stay the same bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torchs
from torch.nn.modules.batchnorm import _BatchNorm

from optcore.networks.layers.blocks import ResidualModule
from optcore.networks.taps import Conv2d

Call = Callable[[Tensor], Tensor]
OWN_OUTPUT = (nn.Conv2d, nn.Linear, nn.BatchNorm1d, nn.BatchNorm2d, nn.MaxPool2d)
"""The modules of `optcore.spec.networks.order.OWN_OUTPUT`: a sum may overwrite their output."""
NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


class Forward:
    """
    Compute the outputs of a network, as calling *model* does.

    Where a module has a hook, *model* is called, so that the hook is. A layer to whose output later
    layers attend has one (`optcore.networks.memory`).

    Args:
        model: the network, whose modules must stay the same; their parameters, buffers and modes
            (training, evaluation) may change.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._norms: list[_BatchNorm] = []
        self._calls = self._calls_of(model)
        self._hooks = [hooks for each in model.modules() for hooks in _hooks_of(each)]
        self._hooks += [torchs._global_forward_pre_hooks, torchs._global_forward_hooks]
        self._hooks += [torchs._global_backward_pre_hooks, torchs._global_backward_hooks]

    def __call__(self, given: Tensor) -> Tensor:
        """Return the outputs of the network for a batch."""
        if any(self._hooks):
            outputs: Tensor = self._model(given)
            return outputs
        for call in self._calls:
            given = call(given)
        tracked = [norm.num_batches_tracked for norm in self._norms if norm.training]
        if counts := [each for each in tracked if each is not None]:
            torch._foreach_add_(counts, 1)
        return given

    def _calls_of(self, module: nn.Module) -> list[Call]:
        """Return the functions that, one after the other, compute the output of *module*."""
        # By exact type: a subclass may have a forward pass of its own.
        match module:
            case nn.Sequential() if type(module).forward is nn.Sequential.forward:
                return self._in_order(module)
            case ResidualModule() if type(module) is ResidualModule:
                return [self._residual(module)]
            case nn.ReLU() if type(module) is nn.ReLU:
                return [torch.relu_ if module.inplace else torch.relu]
            case Conv2d() if type(module) is Conv2d and module.padding_mode == "zeros":
                return [_convolution(module)]
            case nn.BatchNorm1d() | nn.BatchNorm2d() if type(module) in NORMS:
                self._norms.append(module)
                return [_norm(module)]
            case _:
                return [module]

    def _in_order(self, modules: nn.Sequential) -> list[Call]:
        calls: list[Call] = []
        before: nn.Module | None = None
        for module in modules:
            # The output of a sum is its own, and its backward pass reads nothing.
            overwrites = type(module) is nn.ReLU and isinstance(before, ResidualModule)
            calls += [torch.relu_] if overwrites else self._calls_of(module)
            before = module
        return calls

    def _residual(self, module: ResidualModule) -> Call:
        layers, shortcut = self._calls_of(module.layers), self._calls_of(module.shortcut)
        overwrites = isinstance([*module.layers][-1], OWN_OUTPUT)

        def call(given: Tensor) -> Tensor:
            output = beside = given
            for each in layers:
                output = each(output)
            for each in shortcut:
                beside = each(beside)
            # With autocast, the dtype of the sum may be another one.
            if overwrites and output.dtype == beside.dtype:
                return output.add_(beside)
            return output + beside

        return call


def _convolution(module: Conv2d) -> Call:
    own = module._parameters  # an attribute of a module takes 0.3 us
    sizes: Any = (module.stride, module.padding, module.dilation, module.groups)

    def call(given: Tensor) -> Tensor:
        if module.takes_taps(given):
            output: Tensor = module(given)
            return output
        weight = own["weight"]
        assert weight is not None
        return torch.conv2d(given, weight, own["bias"], *sizes)

    return call


def _norm(module: nn.BatchNorm1d | nn.BatchNorm2d) -> Call:
    own, buffers, cudnn = module._parameters, module._buffers, torch.backends.cudnn

    def call(given: Tensor) -> Tensor:
        momentum, training = module.momentum, module.training
        assert momentum is not None
        if training and given.numel() == given.shape[1]:
            module(given)  # raises torch's error: a single value has no variance
        return torch.batch_norm(
            given,
            own["weight"],
            own["bias"],
            buffers["running_mean"],
            buffers["running_var"],
            training,
            momentum,
            module.eps,
            cudnn.enabled,
        )

    return call


def _hooks_of(module: nn.Module) -> list[Mapping[int, Any]]:
    return [
        module._forward_pre_hooks,
        module._forward_hooks,
        module._backward_pre_hooks,
        module._backward_hooks,
    ]
