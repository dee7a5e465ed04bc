"""
Optimizers saved and resumed: ``python -m tests.support.optcore.updates.saved_optimizers FOLDER``.

Continues every run that `save` left below FOLDER, and writes its weights beside it. It is a
process of its own, so that a run can resume from nothing but the files.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.support.optcore.updates.optimizer_specs import made, variants
from tests.support.optcore.updates.optimizer_steps import network, train, weights


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
    optimizer = made(model.named_parameters(), spec)
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
