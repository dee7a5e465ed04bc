"""Parameters that are not trained, and batch norms whose running statistics do not move."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from optcore.spec.errors import did_you_mean, reject, short_repr
from optcore.spec.groups.globs import Globs, listed
from optcore.spec.networks.network import Network

if TYPE_CHECKING:
    from optcore.spec.run import RunSpec


def frozen_names(network: Network, globs: Sequence[str]) -> frozenset[str]:
    """Return the names of the parameters of *network* that one of *globs* matches."""
    if not globs:
        return frozenset()
    return frozenset(Globs(globs).among(dict.fromkeys(each.name for each in network.parameters)))


def fixed_norms(network: Network, globs: Sequence[str], frozen: Collection[str]) -> frozenset[str]:
    """
    Return the paths of the batch norms of *network* all of whose parameters are frozen.

    The path of a batch norm without parameters is included if a glob would match its weight.

    Args:
        network: the network.
        globs: globs for the names of frozen parameters.
        frozen: the names that *globs* find.
    """
    # By their running statistics, which those without parameters have too.
    norms = {_layer(each.name) for each in network.tensors if each.module == "batch_norm"}
    used = [*((each.name, each.name) for each in network.parameters), *network.shared.items()]
    trained = {_layer(name) for name, own in used if own not in frozen}
    affine, found = {_layer(name) for name, _ in used}, Globs(globs)
    return frozenset(
        path for path in norms - trained if path in affine or f"{path}.weight" in found
    )


def _layer(name: str) -> str:
    return name.rpartition(".")[0]


def frozen_parameters_exist(run: RunSpec) -> None:
    """Refuse globs in ``training.frozen`` that find no parameter, or that find all of them."""
    globs = run.training.frozen
    if globs:
        # Once for all globs: a large network does not keep them.
        names = dict.fromkeys(each.name for each in run.parameters())
        shared = run.network.shared
        for i, glob in enumerate(globs):
            _finds_a_parameter(run, i, Globs([glob]), names, shared)
        if len(run.frozen) == len(names):
            text = f"frozen must leave a parameter to train, got globs that find all {len(names)}"
            reject(["training", "frozen"], text, globs)
    if run.training.frozen_statistics and not run.fixed_norms:
        text = (
            "frozen_statistics needs a batch_norm whose weight and bias are both in frozen, got "
            f"{_norms(run)}"
        )
        reject(["training", "frozen_statistics"], text, True)


def _finds_a_parameter(
    run: RunSpec, i: int, one: Globs, names: Mapping[str, None], shared: Mapping[str, str]
) -> None:
    glob = run.training.frozen[i]
    also = one.among(shared)
    for name, source in shared.items() if also else ():
        # In torch's named_parameters a shared parameter has its first name alone. With a glob for
        # another name, a part of what the glob names would be trained all the same.
        if name in also and source not in run.frozen:
            text = (
                f"frozen must find a shared parameter by its own name, got {short_repr(glob)}, "
                f"which finds {name}, the same parameter as {source}"
            )
            reject(["training", "frozen", i], text, glob)
    if not also and not one.among(names):
        near = did_you_mean(glob, [*_globs_of_paths(names), *names])
        text = f"frozen must find a parameter, got {short_repr(glob)}{near} ({listed([*names])})"
        reject(["training", "frozen", i], text, glob)


def _globs_of_paths(names: Iterable[str]) -> Iterator[str]:
    """Yield a glob for the part of each of *names* before the first dot: ``conv1.*``."""
    yield from dict.fromkeys(f"{name.partition('.')[0]}.*" for name in names if "." in name)


def _norms(run: RunSpec) -> str:
    """Return the names of the trained parameters of batch norms as text."""
    found = [p.name for p in run.parameters() if p.module == "batch_norm" and p.trainable]
    return f"{listed(found)} trained" if found else "none"
