"""The forward pass without torch's modules, beside the modules."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from optcore.networks.build import build
from optcore.networks.forward import Forward
from optcore.networks.frozen import freeze
from optcore.networks.taps import use_taps
from optcore.spec.run import RunSpec
from tests.support.optcore.runs.run_specs import run

Json = dict[str, Any]
RELU: Json = {"kind": "relu"}
END: list[Json] = [{"kind": "global_pool"}, {"kind": "linear", "out_features": 10}]
FORMATS = (torch.contiguous_format, torch.channels_last)


def conv(channels: int, **fields: Any) -> Json:
    return {"kind": "conv2d", "out_channels": channels, "kernel_size": 3, "padding": 1, **fields}


def norm(**fields: Any) -> Json:
    return {"kind": "batch_norm", **fields}


def block(*layers: Json, shortcut: tuple[Json, ...] = ()) -> Json:
    return {"kind": "residual", "layers": list(layers), "shortcut": list(shortcut)}


POOL: Json = {"kind": "max_pool2d", "kernel_size": 3, "stride": 1, "padding": 1}
LISTS: dict[str, list[Json]] = {
    "residual": [conv(4), norm(), RELU, block(conv(4), norm(), RELU, conv(4), norm()), RELU],
    "shortcuts": [
        conv(4),
        block(conv(6, stride=2), norm(), shortcut=(conv(6, stride=2), norm(), RELU)),
        RELU,
        block(RELU, conv(6), shortcut=(norm(),)),
    ],
    "nested": [conv(4), block(block(block(conv(4), RELU), RELU, norm()), RELU), RELU, POOL],
    "a pool at the end of a block": [conv(4), block(conv(4), POOL), POOL, RELU],
    "a relu at the end of a block": [conv(4), block(conv(4), RELU), RELU, RELU],
    "sigmoids": [conv(4), block(conv(4), {"kind": "sigmoid"}), {"kind": "sigmoid"}, RELU],
    "branches": [
        conv(4),
        {"kind": "parallel", "branches": [[norm(), RELU], [], [block(conv(4)), RELU]]},
        RELU,
    ],
    "copies": [conv(4), {"kind": "repeat", "times": 3, "layers": [block(conv(4)), RELU]}, RELU],
    "few pixels": [conv(64, stride=8), RELU, conv(64, bias=False), norm(), RELU],
    "few pixels, overwritten": [
        *(conv(64, stride=8), block(conv(64, bias=False)), RELU),
        *(block(conv(64), shortcut=(conv(64, bias=False),)), conv(64, bias=False), RELU),
    ],
    "other paddings": [conv(4, padding_mode="reflect"), norm(), conv(4, groups=2, dilation=2)],
    "paddle": [conv(1), norm(dialect="paddle"), RELU, block(conv(1), norm(dialect="paddle")), RELU],
    "no scale": [conv(1), norm(affine=False), RELU, block(conv(1), norm(affine=False)), RELU],
}


def of_list(layers: list[Json]) -> Json:
    return {"kind": "sequential", "layers": [*layers, *END]}


MODELS: dict[str, Json] = {
    **{name: of_list(layers) for name, layers in LISTS.items()},
    **{kind: {"kind": kind} for kind in ("mnist_cnn", "resnet", "mobilenet_v3")},
    "vectors": {"kind": "sequential", "layers": [{"kind": "flatten"}, norm(), *END[1:]]},
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


def made(model: Json, dtype: torch.dtype = torch.float32) -> tuple[nn.Module, RunSpec]:
    """Return the network, the same for each call."""
    spec = RunSpec.parse(run(model=model, dataset={"kind": "digits", "batch_size": 7}))
    torch.manual_seed(0)
    return build(spec.network).to(dtype), spec


def images(dtype: torch.dtype = torch.float32, number: int = 7) -> Tensor:
    return torch.randn(number, 1, 8, 8, generator=torch.Generator().manual_seed(1)).to(dtype)


def results(
    model: nn.Module,
    given: Tensor,
    *,
    lean: bool,
    context: AbstractContextManager[Any] | None = None,
) -> dict[str, Tensor | None]:
    """Return the outputs, all gradients and all buffers after two batches."""
    call = Forward(model) if lean else model
    given = given.clone().requires_grad_()
    for _ in range(2):
        with context or nullcontext():
            outputs = call(given)
        (outputs.float() * torch.linspace(-1, 2, outputs[0].numel())).sum().backward()
    gradients = {f"gradient of {n}": p.grad for n, p in model.named_parameters()}
    return {"": outputs, "images": given.grad, **gradients, **dict(model.named_buffers())}


def check_same(one: dict[str, Tensor | None], other: dict[str, Tensor | None]) -> None:
    assert one.keys() == other.keys()
    different = [
        name
        for name, tensor in one.items()
        if not (tensor is other[name] is None or torch.equal(tensor, other[name]))  # type: ignore[arg-type]
    ]
    assert different == []


@every_model
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("memory_format", FORMATS, ids=["first", "last"])
def test_outputs_gradients_and_buffers_are_those_of_the_modules(
    model: Json, training: bool, memory_format: torch.memory_format
) -> None:
    found = []
    for lean in (True, False):
        module, _ = made(model)
        module.to(memory_format=memory_format).train(training)  # type: ignore[call-overload]
        use_taps(module, True)
        found.append(results(module, images().to(memory_format=memory_format), lean=lean))

    check_same(*found)


@pytest.mark.parametrize(
    "model",
    # oneDNN's gradient of a 3 x 3 kernel of stride 2 over 1 pixel has memory that nothing has set.
    [each for name, each in MODELS.items() if name != "resnet"],
    ids=[name for name in MODELS if name != "resnet"],
)
def test_autocast_computes_what_it_computes_with_modules(model: Json) -> None:
    found = []
    for lean in (True, False):
        module, _ = made(model)
        context = torch.autocast("cpu", torch.bfloat16)
        found.append(results(module, images(), lean=lean, context=context))

    check_same(*found)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_other_dtypes_compute_what_they_compute_with_modules(dtype: torch.dtype) -> None:
    found = [
        results(made(of_list(LISTS["shortcuts"]), dtype)[0], images(dtype), lean=lean)
        for lean in (True, False)
    ]

    check_same(*found)


@pytest.mark.parametrize("name", [name for name in LISTS if "few pixels" not in name])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
def test_gradients_are_those_of_finite_differences(name: str, training: bool) -> None:
    module, _ = made(of_list(LISTS[name]), torch.float64)
    call = Forward(module.train(training))

    assert torch.autograd.gradcheck(call, [images(torch.float64, 3).requires_grad_()])


def test_a_network_without_gradients_computes_the_same() -> None:
    module, _ = made(of_list(LISTS["shortcuts"]))

    with torch.no_grad():
        assert torch.equal(Forward(module.eval())(images()), module(images()))


def test_frozen_layers_and_fixed_norms_compute_the_same() -> None:
    found = []
    for lean in (True, False):
        module, _ = made(of_list(LISTS["residual"]))
        assert isinstance(module, nn.Sequential)
        frozen = [name for name, _ in module.named_parameters() if name.startswith(("0", "3"))]
        whole = freeze(module, frozen, ["1"]).train()
        found.append(results(whole, images(), lean=lean))

    check_same(*found)
    assert found[0]["1.num_batches_tracked"] == 0
    assert found[0]["3.layers.1.num_batches_tracked"] == 2


def test_the_mode_and_the_convolutions_may_change() -> None:
    module, _ = made(of_list(LISTS["few pixels"]))
    call = Forward(module)
    for on, training in ((True, True), (False, True), (True, False), (False, False)):
        use_taps(module, on)
        module.train(training)

        assert torch.equal(call(images()), module(images()))
        assert torch.equal(call(images(number=60)), module(images(number=60)))


def test_the_images_are_not_changed() -> None:
    module, _ = made(of_list([block(norm(), RELU), RELU, block(RELU, conv(1)), RELU]))
    given = images()

    Forward(module)(given)

    assert torch.equal(given, images())


def test_hooks_are_called() -> None:
    module, _ = made(of_list(LISTS["residual"]))
    call, seen = Forward(module), list[Tensor]()
    hook = module.get_submodule("1").register_forward_hook(lambda *args: seen.append(args[2]))

    call(images())
    hook.remove()
    call(images())

    assert len(seen) == 1


def test_a_single_value_has_no_variance() -> None:
    module, _ = made({"kind": "sequential", "layers": [conv(4, stride=8), norm(), *END]})

    with pytest.raises(ValueError, match="Expected more than 1 value per channel when training"):
        Forward(module)(images(number=1))
