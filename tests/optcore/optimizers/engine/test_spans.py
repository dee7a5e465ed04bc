"""The bits of a parameter do not depend on the parameters beside it, nor on its place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from optcore.optimizers.engine.engines import GRAIN, slice_lengths
from optcore.optimizers.engine.memory.flat import FlatState
from optcore.optimizers.make import parse
from optcore.spec.optimizers.clip import ClipGlobalNorm
from tests.support.optcore.updates.beside import Shapes, updated
from tests.support.optcore.updates.optimizer_specs import (
    LBFGS,
    engines,
    made,
    name_of,
    variants,
)
from tests.support.optcore.updates.pure import same

Spec = dict[str, Any]

LENGTHS = (1, 7, 29)
"""A sample: other last bits show in the last 7, 15, 31 or 63 elements of a range."""
PLACES: dict[str, tuple[Shapes, Shapes]] = {
    "after": ({"a": (5,)}, {}),
    "before": ({}, {"z": (40,)}),
    "beside a large one": ({"large": (65_551,)}, {"z": (3,)}),
}
"""Shapes of the parameters before and after the one that is compared."""
DTYPES: dict[str, tuple[torch.dtype, Spec]] = {
    "float64": (torch.float64, {}),
    "bfloat16": (torch.bfloat16, {}),
    "float16": (torch.float16, {}),
    "bfloat16 with a float32 copy": (torch.bfloat16, {"multi_precision": True}),
    "float16 with a float32 copy": (torch.float16, {"multi_precision": True}),
}
SENSITIVE: list[tuple[Spec, torch.dtype]] = [
    ({"kind": "adam", "engine": "fused"}, torch.float32),
    ({"kind": "momentum", "engine": "fused"}, torch.float64),
    ({"kind": "momentum", "engine": "fused"}, torch.bfloat16),
    ({"kind": "rmsprop", "engine": "fused", "weight_decay": 0.1}, torch.bfloat16),
    ({"kind": "rmsprop", "engine": "fused", "weight_decay": 0.1}, torch.float16),
    ({"kind": "madgrad", "engine": "eager"}, torch.float32),
    ({"kind": "lion", "engine": "eager"}, torch.bfloat16),
    ({"kind": "sgd", "engine": "eager"}, torch.float16),
    ({"kind": "madgrad", "engine": "eager", "multi_precision": True}, torch.bfloat16),
]
"""Updates with operations that give the last elements of a tensor other bits."""


def without_global_norm(spec: Spec) -> Spec:
    """Return *spec* without a clip by the global norm, which is one of all parameters."""
    clip = parse({name: value for name, value in spec.items() if name != "ema"}).clip
    return {**spec, "clip": None} if isinstance(clip, ClipGlobalNorm) else spec


def of_all() -> list[Any]:
    """Return each variant of each optimizer, all but the first of an optimizer's engine as long."""
    seen: set[tuple[str, str]] = set()
    found: list[Any] = []
    for spec in (without_global_norm(spec) for spec in variants() if spec is not LBFGS):
        key = spec["kind"], spec["engine"]
        marks = [pytest.mark.long] if key in seen else []
        found.append(pytest.param(spec, marks=marks, id=name_of(spec)))
        seen.add(key)
    return found


def of_each() -> list[Any]:
    """Return each optimizer with each of its engines, in its default dialect."""
    specs = [{"kind": kind, "engine": engine, "lr": 0.01} for kind, engine in engines()]
    return [
        pytest.param(without_global_norm(spec), id=name_of(spec))
        for spec in specs
        if spec["kind"] != "lbfgs"
    ]


def shapes(spec: Spec) -> Iterator[tuple[int, ...]]:
    """Yield shapes that are no multiple of 16, which *spec* can update."""
    yield (5, 9)
    yield from ((length,) for length in LENGTHS if spec["kind"] != "muon")


def differences(spec: Spec, shape: tuple[int, ...], *places: str, **how: Any) -> list[str]:
    """Return those of *places* in which a parameter of this *shape* gets other bits than alone."""
    alone = updated(spec, {"w": shape}, **how)["w"]
    return [
        place
        for place in places
        if not same(alone, updated(spec, beside(shape, place), **how)["w"])
    ]


def beside(shape: tuple[int, ...], place: str) -> Shapes:
    """Return the shapes of a model with a parameter of this *shape* in this *place*."""
    before, after = PLACES[place]
    return {**before, "w": shape, **after}


@pytest.mark.parametrize("spec", of_all())
def test_parameters_beside_it_change_no_bit_of_a_parameter(spec: Spec) -> None:
    found = {shape: differences(spec, shape, "after", "before") for shape in shapes(spec)}

    assert not any(found.values()), found
    assert not differences(spec, (5, 9), "beside a large one")


@pytest.mark.parametrize("spec", of_each())
def test_a_group_of_its_own_changes_no_bit_of_a_parameter(spec: Spec) -> None:
    together = {**spec, "weight_decay": 0.0}
    apart = {**together, "groups": [{"match": "w", "weight_decay": 0.0}]}
    model = beside((5, 9), "after")

    assert same(updated(together, model)["w"], updated(apart, model)["w"])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("spec", of_each())
def test_parameters_beside_it_change_no_bit_in_other_dtypes(spec: Spec, dtype: str) -> None:
    of, more = DTYPES[dtype]

    assert not differences({**spec, **more}, (5, 9), "before", dtype=of)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", *DTYPES])
@pytest.mark.parametrize("spec", [param.values[0] for param in of_all()], ids=name_of)
def test_parameters_beside_it_change_no_bit_whatever_its_length(spec: Spec, dtype: str) -> None:
    of, more = DTYPES.get(dtype, (torch.float32, {}))
    matrix = spec["kind"] == "muon"
    lengths = [*range(1, 65), 129, 1_001, 40_001, 65_553, 131_077]

    wrong = [
        length
        for length in lengths
        if differences(
            {**spec, **more}, (3, length) if matrix else (length,), "before", dtype=of, steps=2
        )
    ]

    assert wrong == []


@pytest.mark.parametrize("spec", [s for s in of_each() if s.values[0]["engine"] == "fused"])
def test_a_fused_kernel_gives_an_element_the_same_bits_in_every_length(spec: Spec) -> None:
    """Of Adam's kernel by itself, more than a hundred of these lengths have other last elements."""
    longest = updated(spec, {"w": (300,)}, steps=2)["w"]

    wrong = [
        length
        for length in range(1, 268)
        if not same(
            updated(spec, {"w": (length,)}, steps=2)["w"], [tensor[:length] for tensor in longest]
        )
    ]

    assert wrong == []


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("length", [32_801, 65_599, 100_003])
@pytest.mark.parametrize(("spec", "dtype"), SENSITIVE, ids=str)
def test_each_thread_computes_whole_vectors(
    spec: Spec, dtype: torch.dtype, length: int, threads: int
) -> None:
    one_thread = updated(spec, {"w": (length,)}, dtype=dtype)["w"]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        beside = updated(spec, {"a": (44_003,), "w": (length,), "z": (77,)}, dtype=dtype)["w"]
    finally:
        torch.set_num_threads(before)

    assert same(one_thread, beside)


@pytest.mark.parametrize("length", [31, 65_551])
@pytest.mark.parametrize(
    "spec", [{"kind": "adam", "engine": "fused"}, {"kind": "madgrad", "engine": "eager"}], ids=str
)
def test_a_gradient_that_another_parameter_lacks_changes_no_bit(spec: Spec, length: int) -> None:
    alone = updated(spec, {"w": (length,)}, steps=4)["w"]

    beside = updated(spec, {"w": (length,), "z": (77,)}, steps=4, still={1: {"z"}})["w"]

    assert same(alone, beside)


@pytest.mark.parametrize("spec", of_all())
def test_padding_stays_finite(spec: Spec) -> None:
    params = {"a": torch.ones(5, 9), "b": torch.ones(3, 3), "large": torch.ones(65_551)}
    if spec["kind"] == "muon":
        del params["large"]
    for param in params.values():
        param.requires_grad = True
    optimizer = made(params.items(), spec)
    for step in range(20):
        for param in params.values():
            param.grad = torch.full_like(param, (-1.0) ** step)
        optimizer.step()

    for state in optimizer.states():
        if isinstance(state, FlatState):
            assert all(padding(state, buffer).isfinite().all() for buffer in buffers(state))


@pytest.mark.parametrize("engine", ["eager", "fused"])
def test_padding_that_is_not_a_number_reaches_no_parameter(engine: str) -> None:
    """Without eps, an element whose gradients have all been 0 is divided by 0."""
    spec = {"kind": "adam", "engine": engine, "eps": 0.0, "lr": 0.01}
    names = {"a": (5,), "w": (5, 9), "large": (65_551,)}

    found = updated(spec, names)

    assert all(tensor.isfinite().all() for tensors in found.values() for tensor in tensors)
    for name, shape in names.items():
        assert same(found[name], updated(spec, {name: shape})[name])


def buffers(state: FlatState) -> list[Tensor]:
    return [state.params, *state.slots.values()]


def padding(state: FlatState, buffer: Tensor) -> Tensor:
    outside = torch.ones(buffer.shape, dtype=torch.bool)
    for segment in state.segments:
        segment.view(outside).fill_(False)
    return buffer[outside]


@pytest.mark.parametrize("threads", [1, 2, 3, 4, 6, 7, 16])
@pytest.mark.parametrize("alignment", [16, 32, 64])
def test_slices_leave_whole_vectors_to_every_thread(threads: int, alignment: int) -> None:
    for size in (0, 5, GRAIN, GRAIN + alignment, 65_600, 100_032, 131_072, 1_000_064):
        lengths = slice_lengths(size, 131_072, alignment, threads)

        assert sum(lengths) == size
        assert all(0 < length <= 131_072 for length in lengths) or not size
        for length in lengths:
            # As torch divides an operation.
            shares = min(threads, -(-length // GRAIN)) or 1
            share = -(-length // shares)
            assert shares == 1 or share % alignment == 0, (size, lengths)
