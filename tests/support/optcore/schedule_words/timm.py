"""timm: its classes, create_scheduler_v2, and create_scheduler with the options of train.py."""

from __future__ import annotations

from typing import Any

from tests.support.optcore.schedule_words.shared import Params, Translated, without
from tests.support.optcore.schedule_words.timm_classes import CYCLES, of_class

ARGS: dict[str, Any] = {
    "sched": "cosine",
    "sched_on_updates": False,
    "lr_noise": None,
    "lr_noise_pct": 0.67,
    "lr_noise_std": 1.0,
    "lr_cycle_mul": 1.0,
    "lr_cycle_decay": 0.5,
    "lr_cycle_limit": 1,
    "lr_k_decay": 1.0,
    "lr_decay_fn": None,
    "lr_stable_timescale": None,
    "warmup_lr": 1e-5,
    "min_lr": 0,
    "epochs": 300,
    "decay_milestones": [90, 180, 270],
    "decay_epochs": 90,
    "warmup_epochs": 5,
    "warmup_prefix": False,
    "cooldown_epochs": 0,
    "patience_epochs": 10,
    "decay_rate": 0.1,
    "seed": 42,
    "eval_metric": "top1",
}
"""The options of train.py and their defaults."""


def timm(name: str, params: Params, *, steps: int, updates_per_epoch: int) -> Translated:
    """Return our words for a class or factory of timm, whose first *steps* lrs were recorded."""
    lr = params["lr"]
    params = without(params, "lr")
    if name == "create_scheduler":
        params, name = from_args(params), "create_scheduler_v2"
    if name == "create_scheduler_v2":
        return of_factory(params, lr, steps, updates_per_epoch)
    return Translated(of_class(name, params), lr)


def from_args(args: Params) -> Params:
    """Return the arguments that scheduler_kwargs makes of the options of train.py."""
    left = set(args) - set(ARGS)
    assert not left, f"options without a translation: {sorted(left)}"
    args = {**ARGS, **args}
    renamed = {
        "epochs": "num_epochs",
        "lr_noise": "noise",
        "lr_noise_pct": "noise_pct",
        "lr_noise_std": "noise_std",
        "seed": "noise_seed",
        "lr_cycle_mul": "cycle_mul",
        "lr_cycle_decay": "cycle_decay",
        "lr_cycle_limit": "cycle_limit",
        "lr_k_decay": "k_decay",
        "lr_decay_fn": "decay_fn",
        "lr_stable_timescale": "stable_timescale",
    }
    found = {renamed.get(key, key): value for key, value in args.items()}
    found["step_on_epochs"] = not found.pop("sched_on_updates")
    found["plateau_mode"] = "min" if "loss" in found.pop("eval_metric") else "max"
    return found


FACTORY: dict[str, Any] = {
    "sched": "cosine",
    "num_epochs": 300,
    "decay_epochs": None,
    "decay_milestones": (90, 180, 270),
    "cooldown_epochs": 0,
    "patience_epochs": 10,
    "decay_rate": 0.1,
    "min_lr": 0.0,
    "warmup_lr": 1e-5,
    "warmup_epochs": 0,
    "warmup_prefix": False,
    "noise": None,
    "noise_pct": 0.67,
    "noise_std": 1.0,
    "noise_seed": 42,
    "cycle_mul": 1.0,
    "cycle_decay": 0.1,
    "cycle_limit": 1,
    "k_decay": 1.0,
    "decay_fn": None,
    "stable_timescale": None,
    "plateau_mode": "max",
    "step_on_epochs": True,
    "updates_per_epoch": 0,
}
"""The arguments of create_scheduler_v2 and their defaults."""


def of_factory(params: Params, lr: float, steps: int, updates_per_epoch: int) -> Translated:
    left = set(params) - set(FACTORY)
    assert not left, f"arguments without a translation: {sorted(left)}"
    p = {**FACTORY, **params}
    wide = p["sched"] in ("wsd", "rsqrt")
    if p["decay_epochs"] is None:
        p["decay_epochs"] = 0.2 if wide else 90
    n = 1 if p["step_on_epochs"] else p["updates_per_epoch"] or updates_per_epoch
    name, arguments = class_of(p, n)
    spec = of_class(name, arguments, n)
    if name == "PlateauLRScheduler":  # always in epochs, and never inside another schedule
        if "warmup" in spec:
            spec["warmup"]["length"] = {"epochs": float(p["warmup_epochs"])}
    elif p["step_on_epochs"]:
        spec = {"kind": "per_epoch", "schedule": spec}
    return Translated(spec, lr, updates_per_epoch)


def class_of(p: Params, n: int) -> tuple[str, Params]:
    """Return the class that create_scheduler_v2 makes of *p*, with *n* steps of it in an epoch."""
    total = p["num_epochs"] * n
    rise = {"warmup_t": p["warmup_epochs"] * n, "warmup_lr_init": p["warmup_lr"]}
    prefixed = {**rise, "warmup_prefix": p["warmup_prefix"]}
    noise = {
        "noise_pct": p["noise_pct"],
        "noise_std": p["noise_std"],
        "noise_seed": p["noise_seed"],
    }
    noise["noise_range_t"] = in_steps(p["noise"], total)
    cycles = {key: p[key] for key in CYCLES}
    low = {"lr_min": p["min_lr"]}
    rate = {"decay_rate": p["decay_rate"]}
    match p["sched"]:
        case "cosine":
            own = {"t_initial": total, **low, **cycles, "k_decay": p["k_decay"]}
            return "CosineLRScheduler", own | prefixed | noise
        case "tanh":
            return "TanhLRScheduler", {"t_initial": total, **low, **cycles} | prefixed | noise
        case "poly":
            own = {"t_initial": total, "power": p["decay_rate"], **low, "k_decay": p["k_decay"]}
            return "PolyLRScheduler", own | cycles | prefixed | noise
        case "step":
            return "StepLRScheduler", {"decay_t": p["decay_epochs"] * n, **rate} | prefixed | noise
        case "constant":
            return "StepLRScheduler", {"decay_t": 1, "decay_rate": 1.0} | prefixed | noise
        case "multistep":
            at = [milestone * n for milestone in p["decay_milestones"]]
            return "MultiStepLRScheduler", {"decay_t": at, **rate} | prefixed | noise
        case "plateau":
            own = {"patience_t": p["patience_epochs"], "mode": p["plateau_mode"]}
            return "PlateauLRScheduler", own | rate | low | rise | noise
        case "wsd" | "rsqrt":
            return "WSDLRScheduler", wsd_of_factory(p, n, total) | low | rise | noise
    raise NotImplementedError(p["sched"])


def in_steps(noise: Any, total: int) -> Any:
    if not isinstance(noise, (list, tuple)):
        return None if noise is None else noise * total
    moments = [part * total for part in noise]
    return moments[0] if len(moments) == 1 else moments


def wsd_of_factory(p: Params, n: int, total: int) -> Params:
    rises = p["sched"] == "rsqrt"
    length = total if p["warmup_prefix"] else total - p["warmup_epochs"] * n
    fall = p["decay_epochs"]
    fall = fall * length if 0 < fall < 1 else fall * n
    scale = p["stable_timescale"]
    found = {
        "t_initial": length,
        "decay_t": fall if isinstance(fall, int) else {"epochs": fall / n},
        "stable_fn": "rsqrt" if rises else "constant",
        "decay_fn": p["decay_fn"] or ("linear" if rises else "1-sqrt"),
    }
    return found if scale is None else {**found, "stable_timescale": scale * n}
