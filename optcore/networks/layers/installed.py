"""Layers from installed packages."""

from __future__ import annotations

from torch import Tensor, nn

from optcore.networks.draws import Draws
from optcore.packages.code import code_of
from optcore.packages.entry_points import PackageError, package_of
from optcore.spec.layers.base import InstalledLayer, TensorSpec


def installed(
    layer: InstalledLayer, given: TensorSpec, draws: Draws | None, path: str
) -> nn.Module:
    """
    Return the module that the package of *layer* builds.

    The parameters and persistent buffers of the module must be those that the spec declares.

    The shape of the module's output must be the declared one. It is checked for the first batch in
    training and for the first batch in an evaluation. Without this check, a loss might broadcast
    an output of another shape, and give wrong results without an error.

    Raises:
        PackageError: the package builds something else than its spec declares.
    """
    subject = f"{package_of(type(layer))}: {layer.kind} at layer {path}"
    module = code_of(type(layer))(layer, given, draws, path)
    if not isinstance(module, nn.Module):
        raise PackageError(f"{subject}: {layer.CODE} must return a torch module, got {module!r}")
    declared = [(each.name, each.shape) for each in layer.parameters(given)]
    built = [(name, tuple(each.shape)) for name, each in module.named_parameters()]
    if built != declared:
        raise PackageError(
            f"{subject}: the module must have the parameters that the spec declares, {declared}, "
            f"got {built}"
        )
    # `state_dict` lists a shared parameter under each of its names; none of them is a buffer.
    named = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    declared = [(each.name, each.shape) for each in layer.buffers(given)]
    built = [(n, tuple(each.shape)) for n, each in module.state_dict().items() if n not in named]
    if built != declared:
        raise PackageError(
            f"{subject}: the module must have the buffers that the spec declares, {declared}, "
            f"got {built}"
        )
    shape = layer.output(given).shape
    unchecked = {True, False}

    def compare(module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        if module.training not in unchecked:
            return
        wanted = (len(inputs[0]), *shape)
        if not isinstance(output, Tensor) or tuple(output.shape) != wanted:
            got = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise PackageError(f"{subject}: the output must have shape {wanted}, got {got}")
        unchecked.remove(module.training)
        if not unchecked:
            handle.remove()

    handle = module.register_forward_hook(compare)
    return module
