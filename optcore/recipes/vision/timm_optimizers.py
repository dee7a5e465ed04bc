"""Convert optimizers with the names that timm 1.0 gives them (timm/optim/_optim_factory.py)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from optcore.recipes.block import Block
from optcore.recipes.defaults import only, set_number, set_value

BY = "train.py"
NO_DECAY = {"preset": "no_decay_norm_bias", "weight_decay": 0.0}
EXEMPT = "timm exempts biases and parameters of one dimension"


@dataclass(frozen=True)
class Optimizer:
    """
    The optimizer in a job that is equivalent to an optimizer in timm.

    Attributes:
        kind: kind of the optimizer in the job.
        dialect: dialect of the optimizer in the job.
        momentum: whether timm's optimizer reads momentum.
        betas: whether timm's optimizer reads opt_betas.
        eps: whether timm's optimizer reads opt_eps.
        fixed: (field, value) of each field that does not have the default of the dialect.
        clips: whether timm's optimizer clips the gradient itself before each update.
    """

    kind: str
    dialect: str = "torch"
    momentum: bool = False
    betas: bool = False
    eps: bool = False
    fixed: tuple[tuple[str, object], ...] = ()
    clips: bool = False


TRUST_CLIP = (("trust_clip", True),)
RHO = (("rho", 0.9),)
OPTIMIZERS: Mapping[str, Optimizer] = {
    "sgd": Optimizer("nesterov", momentum=True),
    "nesterov": Optimizer("nesterov", momentum=True),
    "momentum": Optimizer("momentum", momentum=True),
    "adam": Optimizer("adam", betas=True, eps=True),
    "adamw": Optimizer("adamw", betas=True, eps=True),
    "nadamw": Optimizer("adamw", "timm", betas=True, eps=True, fixed=(("nesterov", True),)),
    "lion": Optimizer("lion", "timm", betas=True),
    "lamb": Optimizer("lamb", "timm", betas=True, eps=True, clips=True),
    "lambc": Optimizer("lamb", "timm", betas=True, eps=True, clips=True, fixed=TRUST_CLIP),
    "lars": Optimizer("lars", "timm", momentum=True, eps=True),
    "larc": Optimizer("lars", "timm", momentum=True, eps=True, fixed=TRUST_CLIP),
    "rmsprop": Optimizer("rmsprop", "timm", momentum=True, eps=True, fixed=RHO),
    "rmsproptf": Optimizer("rmsprop_tf", "timm", momentum=True, eps=True, fixed=RHO),
    "laprop": Optimizer("laprop", "timm", betas=True, eps=True),
    "radam": Optimizer("radam", betas=True, eps=True),
    "adamax": Optimizer("adamax", betas=True, eps=True),
    "nadam": Optimizer("nadam", betas=True, eps=True),
}


def convert_optimizer(file: Block) -> None:
    """Convert the optimizer, its groups and the clip."""
    name = str(file.get("opt") or "sgd").lower()
    found = OPTIMIZERS.get(name)
    if found is None:
        file.refused("opt", "has no exactly equivalent optimizer", required=True)
        found = OPTIMIZERS["adamw"]
    set_value(file, "opt", "optimizer.kind", found.kind, BY)
    file.result.default("optimizer.dialect", found.dialect, "has the formula of timm's class")
    for field, value in found.fixed:
        file.result.default(f"optimizer.{field}", value, f"the default of timm's {name}")
    _arguments(file, found)
    _decay(file)
    _clip(file, found)
    only(file, "opt_kwargs", (None, {}, []), "is not converted", "it is empty")
    only(file, "layer_decay", (None,), "has groups by the layers of timm's models", "it is off")
    for key in ("layer_decay_min_scale", "layer_decay_no_opt_scale"):
        file.ignored(key, "it is read with layer_decay")


def _arguments(file: Block, found: Optimizer) -> None:
    if found.momentum:
        set_number(file, "momentum", "optimizer.momentum", 0.9, BY)
    file.ignored("momentum", "this optimizer does not read it")
    if found.eps and file.given("opt_eps"):
        file.converted("opt_eps", "optimizer.eps", float(file.number("opt_eps")))
    elif file.given("opt_eps"):
        file.refused("opt_eps", "raises TypeError: the class has no eps")
    file.other("opt_eps", "the default of the class")
    if file.given("opt_betas"):
        _betas(file, found)
    file.other("opt_betas", "the default of the class")


def _betas(file: Block, found: Optimizer) -> None:
    betas = file.numbers("opt_betas")
    if not found.betas or len(betas) != 2:  # noqa: PLR2004  beta1 and beta2
        file.refused("opt_betas", "must be two betas, for an optimizer that has betas")
        return
    for field, value in zip(("beta1", "beta2"), betas, strict=True):
        file.converted("opt_betas", f"optimizer.{field}", float(value))


def _decay(file: Block) -> None:
    decay = set_number(file, "weight_decay", "optimizer.weight_decay", 2e-5, BY)
    if decay:
        file.result.default("optimizer.groups", [NO_DECAY], EXEMPT)


def _clip(file: Block, found: Optimizer) -> None:
    if not file.given("clip_grad"):
        file.other("clip_grad", "it is off")
        file.ignored("clip_mode", "clip_grad is off")
        return
    largest, mode = float(file.number("clip_grad")), file.text("clip_mode", "norm")
    if found.clips:
        file.refused("clip_grad", "comes before the clip of the optimizer's own class")
    elif mode in ("norm", "value"):
        kind = "global_norm" if mode == "norm" else "value"
        file.converted("clip_grad", "optimizer.clip", {"kind": kind, "max": largest})
    else:
        file.refused("clip_mode", "must be norm or value")
    file.other("clip_mode", "see clip_grad")
