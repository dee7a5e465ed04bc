"""What the errors say to names that people bring along."""

from __future__ import annotations

from typing import Any

import pytest

from optcore.spec.errors import SpecError, did_you_mean
from optcore.spec.run import RunSpec
from tests.support.optcore.runs.run_specs import refused, run

OPTIMIZER_KINDS = {
    "AdamW": "'adamw'",
    "torch.optim.AdamW": "'adamw'",
    "adamw_torch": "'adamw'",
    "RMSProp": "'rmsprop'",
    "AdamWeightDecay": "'adam_weight_decay'",
    "LarsMomentumOptimizer": "'lars'",
    "GradientDescentOptimizer": "'sgd'",
    "AMSGrad": "'adam' with amsgrad",
    "LookAhead": "training.lookahead",
    "adm": "'adam'",
}
SCHEDULE_KINDS = {
    "CosineAnnealingLR": "'cosine'",
    "paddle.optimizer.lr.CosineAnnealingDecay": "'cosine'",
    "get_cosine_schedule_with_warmup": "'cosine' with a warmup",
    "linear_with_warmup": "'linear' with a warmup",
    "reduce_on_plateau": "'plateau'",
    "ReduceLROnPlateau": "'plateau'",
    "poly": "'polynomial'",
    "CosineAnnealingWarmRestarts": "'cosine_restarts'",
    "SequentialLR": "'chain'",
    "LambdaLR": "'values'",
    "LinearWarmup": "schedule.warmup",
    "cosin": "'cosine'",
}
FIELDS: list[tuple[dict[str, Any], str, str]] = [
    ({"schedule": {"kind": "cosine", "T_max": 9}}, "schedule.T_max", "'length'"),
    ({"schedule": {"kind": "cosine", "eta_min": 0.1}}, "schedule.eta_min", "'end'"),
    ({"schedule": {"kind": "cosine", "alpha": 0.1}}, "schedule.alpha", "'end_fraction'"),
    ({"schedule": {"kind": "cosine", "warmup_ratio": 0.1}}, "schedule.warmup_ratio", "'warmup'"),
    ({"schedule": {"kind": "cosine", "lr": 0.1}}, "schedule.lr", "optimizer.lr"),
    ({"schedule": {"kind": "step", "every": 9, "step_size": 1}}, "schedule.step_size", "'every'"),
    ({"schedule": {"kind": "exponential", "rate": 0.9, "gamma": 1}}, "schedule.gamma", "'rate'"),
    ({"schedule": {"kind": "one_cycle", "max_lr": 1}}, "schedule.max_lr", "optimizer.lr"),
    (
        {"schedule": {"kind": "one_cycle", "anneal_strategy": ""}},
        "schedule.anneal_strategy",
        "'shape'",
    ),
    ({"schedule": {"kind": "cyclic", "base": 0, "base_lr": 0}}, "schedule.base_lr", "'base'"),
    (
        {"schedule": {"kind": "cyclic", "base": 0, "step_size_up": 9}},
        "schedule.step_size_up",
        "'up'",
    ),
    (
        {"schedule": {"kind": "cosine_restarts", "length": 5, "T_mult": 2}},
        "schedule.T_mult",
        "'t_mul'",
    ),
    ({"optimizer": {"kind": "adam", "learning_rate": 0.1}}, "optimizer.learning_rate", "'lr'"),
    ({"optimizer": {"kind": "adam", "betas": [0.9, 0.99]}}, "optimizer.betas", "'beta1'"),
    ({"optimizer": {"kind": "adam", "beta_2": 0.9}}, "optimizer.beta_2", "'beta2'"),
    ({"optimizer": {"kind": "adam", "epsilon": 1e-8}}, "optimizer.epsilon", "'eps'"),
    ({"optimizer": {"kind": "adam", "wd": 0.1}}, "optimizer.wd", "'weight_decay'"),
    ({"optimizer": {"kind": "adam", "clipnorm": 1}}, "optimizer.clipnorm", "'clip'"),
    ({"optimizer": {"kind": "adam", "foreach": True}}, "optimizer.foreach", "'engine'"),
    ({"optimizer": {"kind": "adam", "use_ema": True}}, "optimizer.use_ema", "training.ema"),
    ({"optimizer": {"kind": "rmsprop", "alpha": 0.9}}, "optimizer.alpha", "'rho'"),
    ({"optimizer": {"kind": "rmsprop", "decay": 0.9}}, "optimizer.decay", "'rho'"),
    ({"optimizer": {"kind": "sgd", "decay": 0.9}}, "optimizer.decay", "'weight_decay'"),
    (
        {"optimizer": {"kind": "adam", "groups": [{"match": "*", "lr_mult": 2}]}},
        "optimizer.groups[0].lr_mult",
        "'lr_scale'",
    ),
    ({"training": {"max_steps": 9}}, "training.max_steps", "'steps'"),
    ({"training": {"steps": 9, "fp16": True}}, "training.fp16", "'precision'"),
    ({"training": {"steps": 9, "max_grad_norm": 1}}, "training.max_grad_norm", "optimizer.clip"),
    (
        {"training": {"steps": 9, "gradient_accumulation_steps": 4}},
        "training.gradient_accumulation_steps",
        "'accumulate'",
    ),
    (
        {"training": {"steps": 9, "ema": {"model_ema_steps": 32}}},
        "training.ema.model_ema_steps",
        "'every'",
    ),
    (
        {"training": {"steps": 9, "ema": {"kind": "swa", "swa_start": 5}}},
        "training.ema.swa_start",
        "'begin'",
    ),
    ({"learning_rate": 0.1}, "learning_rate", "optimizer.lr"),
    ({"num_train_epochs": 3}, "num_train_epochs", "training.epochs"),
    ({"lr_scheduler": {}}, "lr_scheduler", "'schedule'"),
    (
        {"dataset": {"kind": "digits", "train_batch_size": 9}},
        "dataset.train_batch_size",
        "'batch_size'",
    ),
]
VALUES: list[tuple[dict[str, Any], str, str]] = [
    ({"optimizer": {"kind": "adam", "dialect": "pytorch"}}, "optimizer.dialect", "'torch'"),
    ({"training": {"steps": 9, "precision": "bfloat16"}}, "training.precision", "'bf16'"),
    ({"training": {"steps": 9, "device": "gpu"}}, "training.device", "'cuda'"),
    (
        {"training": {"steps": 9, "ema": {"kind": "AveragedModel"}}},
        "training.ema.kind",
        "'swa'",
    ),
    (
        {"training": {"steps": 9, "loss": {"kind": "CrossEntropyLoss"}}},
        "training.loss.kind",
        "'cross_entropy'",
    ),
    (
        {"optimizer": {"kind": "adam", "clip": {"kind": "ClipGradByGlobalNorm", "max": 1}}},
        "optimizer.clip.kind",
        "'global_norm'",
    ),
    ({"schedule": {"kind": "one_cycle", "shape": "cos"}}, "schedule.shape", "'cosine'"),
]


def message(data: dict[str, Any], param: str) -> str:
    found = {problem.param: problem.message for problem in refused(run(**data)).problems}
    return found[param]


@pytest.mark.parametrize(("name", "answer"), OPTIMIZER_KINDS.items())
def test_the_error_about_an_optimizer_names_our_kind(name: str, answer: str) -> None:
    text = message({"optimizer": {"kind": name}}, "optimizer.kind")

    assert text.endswith(f"got '{name}'; did you mean {answer}?")


@pytest.mark.parametrize(("name", "answer"), SCHEDULE_KINDS.items())
def test_the_error_about_a_schedule_names_our_kind(name: str, answer: str) -> None:
    text = message({"schedule": {"kind": name}}, "schedule.kind")

    assert text.endswith(f"got '{name}'; did you mean {answer}?")


@pytest.mark.parametrize(("data", "param", "answer"), FIELDS, ids=lambda part: str(part)[:40])
def test_the_error_about_an_argument_names_our_field(
    data: dict[str, Any], param: str, answer: str
) -> None:
    assert f"; did you mean {answer}? (known: " in message(data, param)


@pytest.mark.parametrize(("data", "param", "answer"), VALUES, ids=lambda part: str(part)[:40])
def test_the_error_about_a_value_names_our_value(
    data: dict[str, Any], param: str, answer: str
) -> None:
    assert message(data, param).endswith(f"; did you mean {answer}?")


def test_a_name_that_is_valid_elsewhere_is_not_suggested_where_it_is_unknown() -> None:
    assert did_you_mean("T_max", ["kind", "factor"]) == ""
    with pytest.raises(SpecError):
        RunSpec.parse(run(schedule={"kind": "constant", "T_max": 3}))
