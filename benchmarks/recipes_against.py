"""
Compare the curves of benchmarks/recipes.py with what the frameworks' own classes compute.

This needs no part of this project: run it with a Python that has torch, transformers and timm. The
schedules of mindcv and mindocr are plain Python; --mindcv names a checkout of mindcv. Those of
PaddleClas and PaddleOCR need paddle, which may be in another environment; --paddleclas and
--paddleocr name checkouts. What the Python does not have is left out.

Usage: python -P benchmarks/recipes_against.py CURVES
           [--mindcv FOLDER] [--paddleclas FOLDER] [--paddleocr FOLDER]
    -P        keeps modules in this folder, such as queue, from replacing Python's own
"""

import argparse
import collections
import json
import math
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

RTOL, ATOL = 1e-12, 1e-16
Config = Mapping[str, Any]
Case = Mapping[str, Any]
"""A curve: path, source, config, total, steps_per_epoch, lr."""
Lrs = list[float]


def torch_lr(make: Callable[[Any], Any], lr: float, steps: int) -> Lrs:
    """Return the lr of each step under the scheduler that *make* creates for an optimizer."""
    torch = import_module("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    scheduler, found = make(optimizer), []
    for _ in range(steps):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    return found


def number(config: Config, key: str, default: float) -> float:
    """Return *key* as a number (YAML may have read text); *default* if it is null or missing."""
    value = config.get(key)
    return default if value is None else float(value)


def of_transformers(config: Config, case: Case) -> Lrs:
    """Return the lr of transformers' Trainer, from get_warmup_steps and get_scheduler."""
    warmup = number(config, "warmup_steps", 0) or number(config, "warmup_ratio", 0)
    steps = int(warmup) if warmup >= 1 else math.ceil(case["total"] * warmup)
    name, lr = config.get("lr_scheduler_type") or "linear", number(config, "learning_rate", 5e-5)
    return _scheduled(name, lr, steps, config, case)


def of_axolotl(config: Config, case: Case) -> Lrs:
    """Return Axolotl's lr, from core/builders/base.py and Axolotl's own cosine with a floor."""
    total = case["total"]
    if config.get("warmup_steps") is not None:
        steps = number(config, "warmup_steps", 0)
        steps = math.ceil(total * steps) if 0 < steps < 1 else int(steps)
    elif config.get("warmup_ratio") is not None:
        steps = int(number(config, "warmup_ratio", 0) * total)
    else:
        steps = min(int(0.03 * total), 100)
    steps = 2 if steps == 1 else steps
    name, lr = config.get("lr_scheduler") or "cosine", number(config, "learning_rate", 0)
    if name == "cosine" and config.get("cosine_min_lr_ratio"):
        return _floored(lr, steps, total, number(config, "cosine_min_lr_ratio", 0))
    return _scheduled(name, lr, steps, config, case)


def _floored(lr: float, warmup: int, total: int, ratio: float) -> Lrs:
    def factor(step: int) -> float:
        if step < warmup:
            return step / max(1, warmup)
        progress = (step - warmup) / max(1, total - warmup)
        return (1 - ratio) * 0.5 * (1.0 + math.cos(math.pi * progress)) + ratio

    return [lr * factor(step) for step in range(total)]


def _scheduled(name: str, lr: float, warmup: int, config: Config, case: Case) -> Lrs:
    get_scheduler = import_module("transformers").get_scheduler
    kwargs = config.get("lr_scheduler_kwargs") or {}
    kwargs = json.loads(kwargs) if isinstance(kwargs, str) else kwargs
    kwargs = {key: _parsed(value) for key, value in kwargs.items()}
    return torch_lr(
        lambda optimizer: get_scheduler(name, optimizer, warmup, case["total"], kwargs),
        lr,
        case["total"],
    )


TIMM = {
    "sched": "cosine", "epochs": 300, "decay_epochs": 90, "decay_milestones": [90, 180, 270],
    "warmup_epochs": 5, "cooldown_epochs": 0, "patience_epochs": 10, "decay_rate": 0.1,
    "min_lr": 0.0, "warmup_lr": 1e-5, "warmup_prefix": False, "lr_noise": None,
    "lr_noise_pct": 0.67, "lr_noise_std": 1.0, "seed": 42, "lr_cycle_mul": 1.0,
    "lr_cycle_decay": 0.5, "lr_cycle_limit": 1, "lr_k_decay": 1.0, "sched_on_updates": False,
}  # fmt: skip


def of_timm(config: Config, case: Case) -> Lrs:
    """Return timm's lr, from scheduler_kwargs and create_scheduler_v2 as train.py calls them."""
    torch, factory = import_module("torch"), _timm_schedulers()
    given = types.SimpleNamespace(**{**TIMM, **config})
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=given.lr)
    per_epoch = case["steps_per_epoch"]
    scheduler, epochs = factory.create_scheduler_v2(
        optimizer, **factory.scheduler_kwargs(given), updates_per_epoch=per_epoch
    )
    found = []
    for epoch in range(epochs):
        for update in range(per_epoch):
            found.append(optimizer.param_groups[0]["lr"])
            scheduler.step_update(epoch * per_epoch + update + 1)
        scheduler.step(epoch + 1)
    return found


def _timm_schedulers() -> Any:  # noqa: ANN401
    """Return timm's module of schedulers, without importing its models."""
    if "timm" not in sys.modules:
        found = find_spec("timm")
        assert found is not None, "timm is not installed"
        sys.modules["timm"] = package = types.ModuleType("timm")
        package.__path__ = list(found.submodule_search_locations or ())
    return import_module("timm.scheduler.scheduler_factory")


def of_torchvision(config: Config, case: Case) -> Lrs:
    """Return the lr of references/classification/train.py, which steps once an epoch."""
    schedulers = import_module("torch.optim.lr_scheduler")
    epochs, warmup = int(config.get("epochs", 90)), int(config.get("lr_warmup_epochs", 0))
    name = config.get("lr_scheduler", "steplr").lower()
    gamma, decay = config.get("lr_gamma", 0.1), config.get("lr_warmup_decay", 0.01)

    def make(optimizer: Any) -> Any:  # noqa: ANN401
        if name == "steplr":
            main = schedulers.StepLR(optimizer, config.get("lr_step_size", 30), gamma)
        elif name == "cosineannealinglr":
            floor = config.get("lr_min", 0.0)
            main = schedulers.CosineAnnealingLR(optimizer, epochs - warmup, eta_min=floor)
        else:
            main = schedulers.ExponentialLR(optimizer, gamma)
        if not warmup:
            return main
        if config.get("lr_warmup_method", "constant") == "linear":
            rise = schedulers.LinearLR(optimizer, start_factor=decay, total_iters=warmup)
        else:
            rise = schedulers.ConstantLR(optimizer, factor=decay, total_iters=warmup)
        return schedulers.SequentialLR(optimizer, [rise, main], milestones=[warmup])

    by_epoch = torch_lr(make, config.get("lr", 0.1), epochs)
    return [lr for lr in by_epoch for _ in range(case["steps_per_epoch"])]


MINDCV = {
    "scheduler": "cosine_decay", "lr": 0.001, "min_lr": 1e-6, "warmup_epochs": 3,
    "warmup_factor": 0.0, "decay_epochs": 100, "decay_rate": 0.9, "num_epochs": 90,
    "milestones": [30, 60, 90], "num_cycles": 1, "cycle_decay": 1.0, "lr_epoch_stair": False,
}  # fmt: skip
MINDOCR = {
    **MINDCV, "scheduler": "constant", "lr": 0.01, "decay_epochs": 10, "num_epochs": 200,
    "milestones": [],
}  # fmt: skip


def of_mindspore(config: Config, case: Case, create: Callable[..., Lrs], defaults: Config) -> Lrs:
    """Return the lrs that mindcv's create_scheduler computes; mindocr uses the same function."""
    renamed = {"epoch_size": "num_epochs", "multi_step_decay_milestones": "milestones"}
    given = {renamed.get(name, name): value for name, value in config.items()}
    read = {name: given.get(name, default) for name, default in defaults.items()}
    read = {name: _read(name, value) for name, value in read.items()}
    return create(case["steps_per_epoch"], **read)


def _read(name: str, value: Any) -> Any:  # noqa: ANN401
    return float(value) if isinstance(value, str) and name != "scheduler" else value


def mindcv_scheduler(folder: Path) -> Callable[..., Lrs]:
    """Return create_scheduler from mindcv's checkout in *folder*, without importing MindSpore."""
    package = types.ModuleType("mindcv_scheduler")
    package.__path__ = [str(folder / "mindcv" / "scheduler")]
    sys.modules["mindcv_scheduler"] = package
    create: Callable[..., Lrs] = import_module(
        "mindcv_scheduler.scheduler_factory"
    ).create_scheduler
    return create


def of_paddle(config: Config, case: Case, classes: Any, length: str) -> Lrs:  # noqa: ANN401  a module
    """Return the lr of the class in learning_rate.py that build_lr_scheduler creates."""
    given = {name: _parsed(value) for name, value in config["Optimizer"]["lr"].items()}
    name = given.pop("name", "Const" if length == "epoch_num" else None)
    if name is None:
        return [given["learning_rate"]] * case["total"]
    per_epoch = case["steps_per_epoch"]
    given |= {"epochs": config["Global"][length], "step_each_epoch": per_epoch}
    scheduler = getattr(classes, name)(**given)()
    if not hasattr(scheduler, "step"):  # a number
        return [scheduler] * case["total"]
    every = per_epoch if getattr(scheduler, "by_epoch", False) else 1
    found = []
    for step in range(1, case["total"] + 1):
        found.append(scheduler())
        if step % every == 0:
            scheduler.step()
    return found


def _parsed(value: Any) -> Any:  # noqa: ANN401  any YAML
    # YAML 1.1 reads 1e-6 as text.
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def paddle_classes(folder: Path) -> Any:  # noqa: ANN401  a module of a checkout
    """Return the module learning_rate in *folder*, without importing the rest of its package."""
    for name in ("ppcls", "ppcls.utils"):
        sys.modules.setdefault(name, types.ModuleType(name))
    logging = import_module("logging").getLogger("ppcls")
    sys.modules["ppcls.utils"].logger = logging  # type: ignore[attr-defined]  # made here
    package = types.ModuleType(f"optimizer_of_{folder.parent.name}")
    package.__path__ = [str(folder)]
    sys.modules[package.__name__] = package
    return import_module(f"{package.__name__}.learning_rate")


def main() -> None:
    """Compare the curves; print how many are equal by framework, and each curve that differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curves", type=Path)
    parser.add_argument("--mindcv", type=Path)
    parser.add_argument("--paddleclas", type=Path)
    parser.add_argument("--paddleocr", type=Path)
    given = parser.parse_args()
    compute: dict[str, Callable[[Any, Case], Lrs]] = {}
    if find_spec("transformers"):
        kinds = ("transformers", "llamafactory", "trl")
        compute |= dict.fromkeys(kinds, of_transformers) | {"axolotl": of_axolotl}
    if find_spec("timm"):
        compute["timm"] = of_timm
    if find_spec("torch"):
        compute["torchvision"] = of_torchvision
    if given.paddleclas:
        clas = paddle_classes(given.paddleclas / "ppcls" / "optimizer")
        compute["paddleclas"] = lambda config, case: of_paddle(config, case, clas, "epochs")
    if given.paddleocr:
        ocr = paddle_classes(given.paddleocr / "ppocr" / "optimizer")
        compute["paddleocr"] = lambda config, case: of_paddle(config, case, ocr, "epoch_num")
    if given.mindcv:
        create = mindcv_scheduler(given.mindcv)
        compute["mindcv"] = lambda config, case: of_mindspore(config, case, create, MINDCV)
        compute["mindocr"] = lambda config, case: of_mindspore(
            config["scheduler"], case, create, MINDOCR
        )
    equal: collections.Counter[str] = collections.Counter()
    different: list[str] = []
    steps = 0
    for case in json.loads(given.curves.read_text()):
        if case["source"] not in compute:
            continue
        theirs = compute[case["source"]](case["config"], case)
        worst = worst_of(case["lr"], theirs)
        if worst is None:
            equal[case["source"]] += 1
            steps += case["total"]
        else:
            different.append(f"{case['path']}: {worst}")
    print(f"equal at every step within {RTOL:g}: {dict(equal)}, {sum(equal.values())} in all,")
    print(f"{steps:,} steps; different: {len(different)}")
    print("\n".join(different))
    sys.exit(bool(different))


def worst_of(ours: Sequence[float], theirs: Sequence[float]) -> str | None:
    """Return a description of the first difference, or None if there is none."""
    if len(ours) != len(theirs):
        return f"{len(ours)} steps, {len(theirs)} there"
    for step, (our, their) in enumerate(zip(ours, theirs, strict=True)):
        if abs(our - their) > ATOL + RTOL * abs(their):
            return f"step {step}: {our!r}, {their!r} there"
    return None


if __name__ == "__main__":
    main()
