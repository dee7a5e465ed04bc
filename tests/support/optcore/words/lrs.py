"""Learning rates of schedules, in the float32 arithmetic that the frameworks compute them in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

import optcore
from tests.support.optcore.schedule_words import translated
from tests.support.optcore.words.words import Unknown

STEPS = 25
F = np.float32


def keras_lrs(given: dict[str, Any]) -> list[float]:
    """Return lr of each step of a keras.optimizers.schedules schedule."""
    return _tensorflow("keras", given["schedule"], dict(given["params"]))


def tf1_lrs(given: dict[str, Any]) -> list[float]:
    """Return lr of each step of a tf.compat.v1.train decay."""
    name = str(given.get("decay", given.get("schedule")))
    name = {"piecewise_constant_decay": "piecewise_constant"}.get(name, name)
    rest = {k: v for k, v in given.items() if k not in ("decay", "schedule")}
    return _tensorflow("tf1", name, dict(given.get("params", rest)))


def _tensorflow(dialect: str, name: str, params: dict[str, Any]) -> list[float]:
    """Return what our own schedule gives: it is TensorFlow's float32, operation by operation."""
    try:
        found = translated(dialect, name, params, drive="", steps=STEPS)
    except NotImplementedError:
        raise Unknown(name) from None
    schedule = optcore.make_schedule(
        {**found.spec, "precision": "float32"},
        lr=found.lr,
        total_steps=found.total_steps(STEPS),
        steps_per_epoch=found.steps_per_epoch,
    )
    return [float(lr) for lr in schedule(np.arange(STEPS))]


def optax_lrs(given: dict[str, Any], steps: int) -> list[float]:
    """Return lr of each step of an optax schedule, some of which divide counts in float32."""
    rate = _OPTAX[given["schedule"]]
    return [float(rate(F(t), **given["params"])) for t in range(steps)]


def _optax_polynomial(
    t: Any,
    *,
    init_value: float,
    end_value: float,
    power: float = 1.0,
    transition_steps: int,
    transition_begin: int = 0,
) -> Any:
    if transition_steps <= 0:
        return F(init_value)
    count = min(max(t - F(transition_begin), F(0)), F(transition_steps))
    left = F(1) - F(count / F(transition_steps))
    return F(F(F(init_value - end_value) * F(left**power)) + F(end_value))


def _optax_cosine(
    t: Any, *, init_value: float, decay_steps: int, alpha: float = 0.0, exponent: float = 1.0
) -> Any:
    # A Python number times a count is a double; the quotient of a count, above, is not.
    wave = 0.5 * (1 + math.cos(math.pi * min(float(t), decay_steps) / decay_steps))
    return init_value * ((1 - alpha) * wave**exponent + alpha)


def _optax_warmup_cosine(
    t: Any,
    *,
    init_value: float,
    peak_value: float,
    warmup_steps: int,
    decay_steps: int,
    end_value: float = 0.0,
    exponent: float = 1.0,
) -> Any:
    if t < warmup_steps:
        return _optax_polynomial(
            t, init_value=init_value, end_value=peak_value, transition_steps=warmup_steps
        )
    cosine = _optax_cosine(
        t - F(warmup_steps),
        init_value=peak_value,
        decay_steps=decay_steps - warmup_steps,
        alpha=end_value / peak_value if peak_value else 0.0,
        exponent=exponent,
    )
    return F(cosine)  # as the value of the ramp, to which it is joined


def _optax_exponential(
    t: Any, *, init_value: float, transition_steps: int, decay_rate: float, staircase: bool = False
) -> Any:
    share = F(t / F(transition_steps))
    return F(F(init_value) * np.power(F(decay_rate), np.floor(share) if staircase else share))


def mindspore_lrs(given: Any) -> list[float]:
    """Return lr of each step of a MindSpore cell, or list, as its float32 tensor holds it."""
    if isinstance(given, list):
        return [float(F(lr)) for lr in given]
    if "cell" in given:
        cell = _MINDSPORE[given["cell"]]
        return [float(cell(F(t), **given["params"])) for t in range(STEPS)]
    values = given.get("values", given.get("lr", given.get("list")))
    if values is None:
        values = _LISTS[given["dynamic_lr"]](**given["params"])
    return [float(F(lr)) for lr in values]


def _ms_polynomial(
    t: Any,
    *,
    learning_rate: float,
    end_learning_rate: float,
    decay_steps: int,
    power: float,
    update_decay_steps: bool = False,
) -> Any:
    steps = F(decay_steps)
    if update_decay_steps:
        steps = F(steps * max(F(1), np.ceil(F(t / steps))))
    else:
        t = min(t, steps)
    fall = F(learning_rate - end_learning_rate)
    return F(F(fall * np.power(F(F(1) - F(t / steps)), F(power))) + F(end_learning_rate))


def _ms_cosine(t: Any, *, min_lr: float, max_lr: float, decay_steps: int) -> Any:
    p = F(min(t, F(decay_steps)) * F(F(math.pi) / F(decay_steps)))
    return F(F(min_lr) + F(F(0.5 * (max_lr - min_lr)) * F(F(1) + np.cos(p))))


def _ms_power(
    t: Any,
    *,
    learning_rate: float,
    decay_rate: float,
    decay_steps: int,
    is_stair: bool = False,
) -> Any:
    p = F(t / F(decay_steps))
    return F(F(learning_rate) * np.power(F(decay_rate), np.floor(p) if is_stair else p))


def _ms_natural(
    t: Any,
    *,
    learning_rate: float,
    decay_rate: float,
    decay_steps: int,
    is_stair: bool = False,
) -> Any:
    p = t
    if is_stair:
        p = F(np.floor(F(t / F(decay_steps))) * F(decay_steps))
    return F(F(learning_rate) * np.power(F(math.e), F(F(-decay_rate) * p)))


def _ms_inverse(
    t: Any,
    *,
    learning_rate: float,
    decay_rate: float,
    decay_steps: int,
    is_stair: bool = False,
) -> Any:
    p = F(t / F(decay_steps))
    p = np.floor(p) if is_stair else p
    return F(F(learning_rate) / F(F(1) + F(F(decay_rate) * p)))


def _ms_warmup(t: Any, *, learning_rate: float, warmup_steps: int) -> Any:
    return F(F(learning_rate) * F(min(t, F(warmup_steps)) / F(warmup_steps)))


def _pieces(milestone: list[int], learning_rates: list[float]) -> list[float]:
    lrs: list[float] = []
    for end, lr in zip(milestone, learning_rates, strict=True):
        lrs += [lr] * (end - len(lrs))
    return lrs


def _epochs(rate: Callable[..., float]) -> Callable[..., list[float]]:
    def lrs(total_step: int, step_per_epoch: int, **params: Any) -> list[float]:
        return [rate(i // step_per_epoch, **params) for i in range(total_step)]

    return lrs


def _stairs(epoch: int, decay_epoch: int, is_stair: bool) -> float:
    return math.floor(epoch / decay_epoch) if is_stair else epoch / decay_epoch


def _list_exponential(
    epoch: int, learning_rate: float, decay_rate: float, decay_epoch: int, is_stair: bool = False
) -> float:
    return float(learning_rate * decay_rate ** _stairs(epoch, decay_epoch, is_stair))


def _list_natural(
    epoch: int, learning_rate: float, decay_rate: float, decay_epoch: int, is_stair: bool = False
) -> float:
    whole = math.floor(epoch / decay_epoch) * decay_epoch if is_stair else epoch
    return float(learning_rate * math.e ** (-decay_rate * whole))


def _list_inverse(
    epoch: int, learning_rate: float, decay_rate: float, decay_epoch: int, is_stair: bool = False
) -> float:
    return learning_rate / (1 + decay_rate * _stairs(epoch, decay_epoch, is_stair))


def _list_cosine(epoch: int, min_lr: float, max_lr: float, decay_epoch: int) -> float:
    wave = 1 + math.cos(math.pi * min(epoch, decay_epoch) / decay_epoch)
    return min_lr + 0.5 * (max_lr - min_lr) * wave


def _list_polynomial(
    epoch: int,
    *,
    learning_rate: float,
    end_learning_rate: float,
    decay_epoch: int,
    power: float,
    update_decay_epoch: bool = False,
) -> float:
    length = float(decay_epoch)
    if update_decay_epoch:
        length *= max(1, math.ceil(epoch / decay_epoch))
    share = 1 - min(epoch, length) / length
    return float((learning_rate - end_learning_rate) * share**power + end_learning_rate)


def _list_warmup(epoch: int, learning_rate: float, warmup_epoch: int) -> float:
    return learning_rate * min(epoch, warmup_epoch) / warmup_epoch


class _Known(dict[str, Callable[..., Any]]):
    def __missing__(self, name: str) -> Callable[..., Any]:
        raise Unknown(name)


_OPTAX = _Known(
    polynomial_schedule=_optax_polynomial,
    linear_schedule=_optax_polynomial,
    cosine_decay_schedule=_optax_cosine,
    warmup_cosine_decay_schedule=_optax_warmup_cosine,
    exponential_decay=_optax_exponential,
)
_MINDSPORE = _Known(
    PolynomialDecayLR=_ms_polynomial,
    CosineDecayLR=_ms_cosine,
    ExponentialDecayLR=_ms_power,
    NaturalExpDecayLR=_ms_natural,
    InverseDecayLR=_ms_inverse,
    WarmUpLR=_ms_warmup,
)
_LISTS = _Known(
    piecewise_constant_lr=_pieces,
    exponential_decay_lr=_epochs(_list_exponential),
    natural_exp_decay_lr=_epochs(_list_natural),
    inverse_decay_lr=_epochs(_list_inverse),
    cosine_decay_lr=_epochs(_list_cosine),
    polynomial_decay_lr=_epochs(_list_polynomial),
    warmup_lr=_epochs(_list_warmup),
)
