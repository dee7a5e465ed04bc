"""Every optimizer in every dialect and engine, as the contract tests see it."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import optcore
from optcore.optimizers.engine.group_update import fusible
from optcore.optimizers.make import _parse
from optcore.optimizers.rules.catalogue import RULES
from optcore.spec.optimizers.catalogue import OPTIMIZERS

EXTRAS: list[dict[str, Any]] = [
    {"kind": "momentum", "dampening": 0.3},
    {"kind": "adagrad", "lr_decay": 0.1, "initial_accumulator_value": 0.2},
    {"kind": "rmsprop", "centered": True, "momentum": 0.5},
    {"kind": "adam", "amsgrad": True},
    {"kind": "adam", "clip": {"kind": "global_norm", "max": 0.1}},
    {"kind": "adam", "clip": {"kind": "norm", "max": 0.1}, "weight_decay": 0.01},
    {"kind": "adam", "clip": {"kind": "value", "max": 0.01}, "l1": 0.001},
    {"kind": "adamw", "weight_decay": 0.1, "l2": 0.01},
    {"kind": "sgd", "average": {"momentum": 0.9, "overwrite_every": 3}},
    {"kind": "momentum", "grad_centralization": True, "dialect": "mindspore"},
    {"kind": "sag", "batch_num": 3},
    {"kind": "adafactor", "dialect": "mindspore", "relative_step": False},
]


LBFGS: dict[str, Any] = {"kind": "lbfgs", "lr": 0.1, "max_iter": 4}
"""torch's own, which has no engines, groups or schedules, and needs a closure."""


def variants() -> list[dict[str, Any]]:
    """Return a spec for each optimizer, dialect and engine; some with more switched on; LBFGS."""
    found = []
    for kind, cls in OPTIMIZERS.items():
        for dialect in cls.DIALECTS if kind != "lbfgs" else ():
            spec: dict[str, Any] = {"kind": kind, "dialect": dialect, "lr": 0.01}
            found.append({**spec, "engine": "eager"})
            if kind in RULES and fusible(_parse(spec)):
                found.append({**spec, "engine": "fused"})
    return [*found, LBFGS, *({"lr": 0.01, "engine": "eager", **extra} for extra in EXTRAS)]


def engines() -> list[tuple[str, str]]:
    """Return each optimizer with each engine that it has in its default dialect."""
    found = [(kind, "eager") for kind in OPTIMIZERS if kind != "lbfgs"]
    found += [(kind, "fused") for kind, _ in found if fusible(_parse({"kind": kind}))]
    return [*found, ("lbfgs", "auto")]


def name_of(spec: dict[str, Any]) -> str:
    return "-".join(str(value) for value in spec.values())


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


def save(folder: Path, model: nn.Module, optimizer: Any) -> None:
    """Write what a run needs to go on."""
    folder.mkdir(parents=True)
    slots = {
        f"{slot}/{name}": tensor.clone()
        for slot, by in optimizer.named_slots().items()
        for name, tensor in by.items()
    }
    save_file({k: v.contiguous().clone() for k, v in model.state_dict().items()}, folder / "model")
    save_file({"none": torch.zeros(1), **slots}, folder / "slots")
    (folder / "counts.json").write_text(json.dumps(optimizer.named_counts()))


def resume(folder: Path, spec: dict[str, Any], steps: range) -> list[Tensor]:
    """Return the weights after *steps*, from what `save` wrote."""
    model = network()
    model.load_state_dict(load_file(folder / "model"))
    optimizer = optcore.make_optimizer(model.named_parameters(), spec)
    slots: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_file(folder / "slots").items():
        slot, _, name = key.partition("/")
        if name:
            slots.setdefault(slot, {})[name] = tensor
    optimizer.load_named(slots, json.loads((folder / "counts.json").read_text()))
    train(model, optimizer, steps)
    return weights(model)


def main(folder: Path) -> None:
    """Go on with every run below *folder*, in this process; write their weights beside them."""
    torch.set_num_threads(1)
    for i, spec in enumerate(variants()):
        after = resume(folder / str(i), spec, range(4, 7))
        save_file({str(j): w for j, w in enumerate(after)}, folder / str(i) / "after")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
