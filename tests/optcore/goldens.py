"""From a recorded case, in its framework's own words, to our spec."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

GOLDEN_DIR = Path(os.environ.get("GOLDEN_DIR", Path(__file__).parents[1] / "golden"))

Case = dict[str, Any]


def family(name: str) -> dict[str, Any]:
    """Return a recorded family, or one without cases if the folder does not have it."""
    path = GOLDEN_DIR / f"{name}.json"
    if not path.is_file():
        return {"cases": []}
    return json.loads(path.read_text())  # type: ignore[no-any-return]


class NotYet(Exception):
    """The case needs something that optserve does not offer yet."""


def optimizer_spec(framework: str, case: Case) -> dict[str, Any]:
    """Return the optimizer's spec for *case*, or raise `NotYet`."""
    params = dict(case["params"])
    spec = {"torch": _torch, "paddle": _paddle, "article": _article}[framework](
        case["optimizer"], params
    )
    if params:
        raise NotYet(f"{case['optimizer']} with {', '.join(params)}")
    return {**spec, "dialect": framework}


def _torch(name: str, params: dict[str, Any]) -> dict[str, Any]:
    spec = _take(params, {"lr": "lr", "weight_decay": "weight_decay", "eps": "eps"})
    if "betas" in params:
        spec["beta1"], spec["beta2"] = params.pop("betas")
    if name == "SGD":
        spec |= _take(params, {"momentum": "momentum", "dampening": "dampening"})
        nesterov = params.pop("nesterov", False)
        spec["kind"] = "nesterov" if nesterov else "momentum" if "momentum" in spec else "sgd"
    elif name == "RMSprop":
        names = {"alpha": "rho", "momentum": "momentum", "centered": "centered"}
        spec |= {"kind": "rmsprop", **_take(params, names)}
    elif name == "Adagrad":
        names = {"lr_decay": "lr_decay", "initial_accumulator_value": "initial_accumulator_value"}
        spec |= {"kind": "adagrad", **_take(params, names)}
    elif name == "Adam":
        spec["kind"] = "adam"
    else:
        raise NotYet(name)
    return spec


def _paddle(name: str, params: dict[str, Any]) -> dict[str, Any]:
    if isinstance(params.get("learning_rate"), dict):
        raise NotYet("a schedule")
    spec = _take(params, {"learning_rate": "lr", "epsilon": "eps"})
    decay = params.pop("weight_decay", 0.0)
    if isinstance(decay, dict):
        if set(decay) != {"L2Decay"}:
            raise NotYet("L1Decay")
        decay = decay["L2Decay"]
    spec["weight_decay"] = float(decay)
    if name == "SGD":
        spec["kind"] = "sgd"
    elif name == "Momentum":
        spec |= _take(params, {"momentum": "momentum"})
        spec["kind"] = "nesterov" if params.pop("use_nesterov", False) else "momentum"
    elif name == "Adagrad":
        names = {"initial_accumulator_value": "initial_accumulator_value"}
        spec |= {"kind": "adagrad", **_take(params, names)}
    elif name == "RMSProp":
        names = {"rho": "rho", "momentum": "momentum", "centered": "centered"}
        spec |= {"kind": "rmsprop", **_take(params, names)}
    elif name == "Adam":
        params.pop("lazy_mode", None)  # dense gradients ignore it
        spec |= {"kind": "adam", **_take(params, {"beta1": "beta1", "beta2": "beta2"})}
    else:
        raise NotYet(name)
    return spec


def _article(name: str, params: dict[str, Any]) -> dict[str, Any]:
    names = {
        "lr": "lr",
        "alpha": "momentum",
        "mu": "momentum",
        "decay_rate": "rho",
        "beta1": "beta1",
        "beta2": "beta2",
    }
    return {"kind": name.lower(), **_take(params, names)}


def _take(params: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    return {ours: params.pop(theirs) for theirs, ours in names.items() if theirs in params}
