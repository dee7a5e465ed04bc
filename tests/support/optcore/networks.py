"""Recorded networks of torchvision and PaddleOCR: their cases in our words, weights by formula."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import TypeAdapter
from torch import Tensor, nn

from optcore.networks.build import build
from optcore.spec.layers.base import TensorSpec
from optcore.spec.models.catalogue import AnyModel
from optcore.spec.networks.network import Network
from optcore.spec.tasks.losses import AnyLoss, CrossEntropy, Ctc
from optcore.spec.tasks.tasks import Target
from tests.support.optcore.goldens import GOLDEN_DIR, Case, family

INPUT = 100_000
"""Position of the input in the formula."""
SPREADS = {"scale": (1.0, 0.2), "var": (1.0, 0.5), "bias": (0.0, 0.1), "mean": (0.0, 0.1)}
"""Middle and half width of the values of a kind of tensor; others in `spread`."""
VITS = {"vit_b_16": (16, 12, 12, 768, 3072), "vit_b_32": (32, 12, 12, 768, 3072)}
VITS |= {"vit_l_16": (16, 24, 16, 1024, 4096), "vit_l_32": (32, 24, 16, 1024, 4096)}
VITS |= {"vit_h_14": (14, 32, 16, 1280, 5120)}
"""torchvision's constructors: patch size, layers, heads, hidden and mlp."""


def cases() -> list[Case]:
    """Return the cases of every recorded family of networks, with the family's name in each."""
    paths = sorted(GOLDEN_DIR.glob("networks_*.json"))
    return [
        case | {"framework": path.stem.removeprefix("networks_")}
        for path in paths
        for case in family(path.stem)["cases"]
    ]


def totals() -> dict[str, int]:
    """Return the number of parameters of each constructor: ``resnet18``, ``f(width_mult=0.5)``."""
    found: dict[str, int] = {}
    for path in GOLDEN_DIR.glob("networks_*.json"):
        found |= family(path.stem).get("default_parameters", {})
    return found


def model_of(case: Case) -> tuple[dict[str, Any], int]:
    """Return the spec of the model of *case*, and the number of its outputs."""
    if "constructor" in case:
        return of_torchvision(case["constructor"], dict(case["args"]))
    return of_paddleocr(case["architecture"])


def of_torchvision(constructor: str, args: dict[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the spec of the model that torchvision's *constructor* returns for *args*."""
    outputs = args.pop("num_classes", 1000)
    if constructor.startswith("resnet"):
        spec = {"kind": "resnet", "depth": int(constructor.removeprefix("resnet"))}
    elif constructor.startswith("mobilenet_v3_"):
        spec = {"kind": "mobilenet_v3", "size": constructor.removeprefix("mobilenet_v3_")}
        spec |= {"scale": float(args.pop("width_mult", 1.0))}
    else:
        args.pop("image_size", None)
        names = ("patch_size", "num_layers", "num_heads", "hidden_dim", "mlp_dim")
        args = dict(zip(names, VITS.get(constructor, ()), strict=False)) | args
        ours = ("patch_size", "layers", "heads", "hidden", "mlp")
        spec = {"kind": "vit", **dict(zip(ours, map(args.pop, names), strict=True))}
        spec |= {"representation": args.pop("representation_size", None)}
        args.pop("attention_dropout", None)
    if "dropout" in args:
        spec["dropout"] = args.pop("dropout")
    assert not args
    return spec, outputs


def of_paddleocr(architecture: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Return the spec of the model of PaddleOCR's block ``Architecture``."""
    backbone, head = dict(architecture["Backbone"]), architecture["Head"]
    name, text = backbone.pop("name"), architecture["model_type"] == "rec"
    backbone.pop("in_channels", None)
    spec: dict[str, Any]
    if name == "ResNet":
        spec = {"kind": "resnet_vd" if text else "resnet", "depth": backbone.pop("layers")}
    else:
        size = backbone.pop("model_name", "small")
        strides = {each: backbone.pop(f"{each}_stride", None) for each in ("small", "large")}
        own = {"small": [2, 2, 2, 2], "large": [1, 2, 2, 2]}
        spec = {"kind": "mobilenet_v3", "size": size, "scale": float(backbone.pop("scale", 0.5))}
        spec |= {"strides": strides[size] or own[size]}
    assert not backbone
    if not text:
        return spec | {"dialect": "paddleocr"}, head["class_dim"]
    lstm: dict[str, Any] = {"layers": 0}
    if architecture["Neck"]["encoder_type"] == "rnn":
        lstm = {"hidden": architecture["Neck"].get("hidden_size", 48)}
    return {"kind": "crnn", "backbone": spec, **lstm}, head["out_channels"]


def network_of(spec: dict[str, Any], target: Target, shape: tuple[int, ...]) -> Network:
    """Return the network of the model *spec* for images of *shape*."""
    parser: TypeAdapter[AnyModel] = TypeAdapter(AnyModel)
    layers = parser.validate_python(spec).network(target)
    return Network(tuple(layers), TensorSpec.of(shape))


def u(n: int, k: int) -> NDArray[np.float64]:
    """Return *n* numbers from -1 to below 1, those of tensor *k*."""
    mask = np.uint64(0xFFFFFFFF)
    h = np.arange(n, dtype=np.uint64) * np.uint64(2654435761)
    h = (h + np.uint64((k + 1) * 2246822519 % 2**32)) & mask
    h ^= h >> np.uint64(16)
    h = h * np.uint64(2246822507) & mask
    h ^= h >> np.uint64(13)
    h = h * np.uint64(3266489909) & mask
    h ^= h >> np.uint64(16)
    return h.astype(np.float64) / 2**32 * 2 - 1


def spread(kind: str, shape: list[int], gain: float) -> tuple[float, float]:
    """Return middle and half width of the values of a tensor."""
    if kind in SPREADS:
        return SPREADS[kind]
    if kind == "embed":
        return 0.0, 0.1
    if kind == "counter":
        return 0.0, 0.0
    fan_in = shape[0] if kind == "linear_io" else prod(shape[1:])
    assert kind in ("conv", "linear", "linear_io", "lstm")
    return 0.0, float(np.sqrt(3 * gain / fan_in))


class Recorded:
    """
    Our network of a recorded case, with its weights in float64.

    Args:
        case: the case.

    Attributes:
        network: the network without torch.
        module: the network in torch.
        target: what it predicts.
        loss: the spec of its loss.
        labels: the targets of the batch.
        tensors: for each recorded tensor, in its order: our name.
    """

    def __init__(self, case: Case) -> None:
        spec, outputs = model_of(case)
        self.case, labels = case, torch.tensor(case["target"]["labels"])
        self.loss: AnyLoss = CrossEntropy(kind="cross_entropy")
        self.target, self.labels = Target("classification", outputs), labels
        if case["target"]["loss"] == "ctc":
            self.loss = Ctc(kind="ctc")
            lengths = torch.tensor(case["target"]["lengths"])
            inside = torch.arange(labels.shape[1]) < lengths.unsqueeze(1)
            # Ours are from 0 and have no blank; behind a sequence is -1.
            self.labels = (labels - 1).where(inside, -1)
            self.target = Target("sequence", outputs - 1, labels.shape[1])
        self.network = network_of(spec, self.target, tuple(case["input"]["shape"][1:]))
        self.module = build(self.network).double()
        self.tensors = self._fill()

    def input(self) -> Tensor:
        """Return the batch, whose gradient is computed."""
        shape = self.case["input"]["shape"]
        values = u(prod(shape), self.case["input"]["k"]).reshape(shape)
        return torch.from_numpy(values).requires_grad_()

    def counted(self) -> dict[str, Tensor]:
        """Return our tensors in the order of the recorded ones."""
        own = dict(self.module.state_dict(keep_vars=True))
        if not any(tensor[3] == "counter" for tensor in self.case["tensors"]):
            own = {name: each for name, each in own.items() if not name.endswith("_tracked")}
        # torch lists a module's own parameters before those of its children.
        return dict(sorted(own.items(), key=lambda item: not item[0].startswith("class_token")))

    def _fill(self) -> list[str]:
        own = self.counted()
        assert len(own) == len(self.case["tensors"])
        for k, (ours, (name, shape, _, kind, *_)) in enumerate(
            zip(own.values(), self.case["tensors"], strict=True)
        ):
            middle, half = spread(kind, shape, self.case["gain"])
            values = torch.from_numpy(middle + half * u(prod(shape), k)).reshape(shape)
            values = values.T if kind == "linear_io" else values
            wanted = [*values.shape]
            while len(wanted) > ours.dim() and wanted[0] == 1:
                wanted = wanted[1:]
            assert [*ours.shape] == wanted, name
            with torch.no_grad():
                ours.copy_(values.reshape(ours.shape))
        return list(own)

    def block(self, name: str) -> str | None:
        """Return our name of a recorded block; None if we have none."""
        if self.case["framework"] == "paddleocr":
            return _paddleocrs(name, text=self.target.task == "sequence")
        if self.case["constructor"].startswith("resnet"):
            # Our max-pool comes before the relu, with the same result after both.
            return {"relu": None, "maxpool": "relu"}.get(name, name)
        found = re.fullmatch(r"features\.(\d+)", name)
        if found:
            i, last = int(found[1]), len(list(self.module.get_submodule("blocks").children())) + 1
            return "conv1" if i == 0 else "conv2" if i == last else f"blocks.{i - 1}"
        name = re.sub(r"encoder\.layers\.encoder_layer_(\d+)", r"encoder.\1", name)
        return {
            **dict(enumerate_names("classifier", ("fc1", "act1", "dropout1", "fc"))),
            **{"encoder.dropout": "dropout", "encoder.ln": "ln", "heads.head": "fc"},
            **{"heads.pre_logits": "pre_logits", "heads.act": "act"},
        }.get(name, name)

    def layer(self, name: str) -> nn.Module:
        """Return the module of our layer *name*; of a repeat of one, the only one."""
        try:
            return self.module.get_submodule(name)
        except AttributeError:
            assert name == "encoder.0"
            return self.module.get_submodule("encoder")


def enumerate_names(prefix: str, names: tuple[str, ...]) -> list[tuple[str, str]]:
    """Return pairs of ``prefix.i`` and the i-th name."""
    return [(f"{prefix}.{i}", name) for i, name in enumerate(names)]


def _paddleocrs(name: str, *, text: bool) -> str:
    """Return our name of PaddleOCR's block."""
    name = re.sub(r"\.conv1_(\d)$", r".conv\1", name).replace("pool2d_max", "maxpool")
    name = name.replace("out_pool", "pool")
    name = re.sub(r"\.bb_(\d)_(\d+)$", lambda m: f".layer{int(m[1]) + 1}.{m[2]}", name)
    heads = {"neck.encoder_reshape": "im2seq", "neck.encoder.lstm": "lstm"}
    name = {**heads, "head.pool": "avgpool", "head.fc": "fc"}.get(name, name)
    return name if text else name.removeprefix("backbone.")
