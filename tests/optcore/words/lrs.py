"""Learning rates of schedules, in the float32 arithmetic that the frameworks compute them in."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.optcore.words.words import Unknown

STEPS = 25
F = np.float32


def keras_lrs(given: dict[str, Any]) -> list[float]:
    """Return lr of each step of a keras.optimizers.schedules schedule."""
    params = given["params"]
    return [float(_KERAS[given["schedule"]](F(t), **params)) for t in range(STEPS)]


def tf1_lrs(given: dict[str, Any]) -> list[float]:
    """Return lr of each step of a tf.compat.v1.train decay."""
    name = given.get("decay", given.get("schedule"))
    params = dict(given.get("params", {k: v for k, v in given.items() if k != "decay"}))
    params["initial_learning_rate"] = params.pop("learning_rate", 0.0)
    return [float(_TF1[str(name)](F(t), **params)) for t in range(STEPS)]


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


def _exponential(
    t: Any,
    *,
    initial_learning_rate: float,
    decay_steps: int,
    decay_rate: float,
    staircase: bool = False,
) -> Any:
    p = F(t / F(decay_steps))
    p = np.floor(p) if staircase else p
    return F(F(initial_learning_rate) * np.power(F(decay_rate), p))


def _natural_exp(
    t: Any,
    *,
    initial_learning_rate: float,
    decay_steps: int,
    decay_rate: float,
    staircase: bool = False,
) -> Any:
    p = F(t / F(decay_steps))
    p = np.floor(p) if staircase else p
    return F(F(initial_learning_rate) * np.exp(F(F(-decay_rate) * p)))


def _inverse(
    t: Any,
    *,
    initial_learning_rate: float,
    decay_steps: int,
    decay_rate: float,
    staircase: bool = False,
) -> Any:
    p = F(t / F(decay_steps))
    p = np.floor(p) if staircase else p
    return F(F(initial_learning_rate) / F(F(1) + F(F(decay_rate) * p)))


def _polynomial(
    t: Any,
    *,
    initial_learning_rate: float,
    decay_steps: int,
    end_learning_rate: float = 0.0001,
    power: float = 1.0,
    cycle: bool = False,
) -> Any:
    steps = F(decay_steps)
    if cycle:
        steps = F(steps * (F(1) if t == 0 else np.ceil(F(t / steps))))
    else:
        t = min(t, steps)
    p = F(t / steps)
    fall = F(F(initial_learning_rate) - F(end_learning_rate))
    return F(F(fall * np.power(F(F(1) - p), F(power))) + F(end_learning_rate))


def _piecewise(t: Any, *, boundaries: list[float], values: list[float], **_: Any) -> Any:
    """Return the value of step *t*; TF changes one step after a boundary."""
    return F(values[sum(int(t > boundary) for boundary in boundaries)])


def _cosine(
    t: Any,
    *,
    initial_learning_rate: float,
    decay_steps: int,
    alpha: float = 0.0,
    warmup_target: float | None = None,
    warmup_steps: int = 0,
) -> Any:
    if warmup_target is None:
        return _falling(min(t, F(decay_steps)), decay_steps, initial_learning_rate, alpha)
    t = min(t, F(decay_steps + warmup_steps))
    if t < warmup_steps:
        rise = F(F(warmup_target) - F(initial_learning_rate))
        return F(F(rise * F(t / F(warmup_steps))) + F(initial_learning_rate))
    return _falling(F(t - F(warmup_steps)), decay_steps, warmup_target, alpha)


def _falling(t: Any, decay_steps: int, lr: float, alpha: float) -> Any:
    wave = F(F(0.5) * F(F(1) + F(math.cos(F(F(math.pi) * F(t / F(decay_steps)))))))
    decayed = F(F(F(1 - alpha) * wave) + F(alpha))
    return F(F(lr) * decayed)


def _restarts(
    t: Any,
    *,
    initial_learning_rate: float,
    first_decay_steps: int,
    t_mul: float = 2.0,
    m_mul: float = 1.0,
    alpha: float = 0.0,
) -> Any:
    p = F(t / F(first_decay_steps))
    if t_mul == 1:
        i = np.floor(p)
        p = F(p - i)
    else:
        i = np.floor(F(np.log(F(F(1) - F(p * F(F(1) - F(t_mul))))) / np.log(F(t_mul))))
        done = F(F(F(1) - np.power(F(t_mul), i)) / F(F(1) - F(t_mul)))
        p = F(F(p - done) / np.power(F(t_mul), i))
    wave = F(F(F(0.5) * np.power(F(m_mul), i)) * F(F(1) + F(math.cos(F(F(math.pi) * p)))))
    return F(F(initial_learning_rate) * F(F(F(1 - alpha) * wave) + F(alpha)))


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


_KERAS = _Known(
    CosineDecay=_cosine,
    CosineDecayRestarts=_restarts,
    ExponentialDecay=_exponential,
    InverseTimeDecay=_inverse,
    PiecewiseConstantDecay=_piecewise,
    PolynomialDecay=_polynomial,
)
_TF1 = _Known(
    exponential_decay=_exponential,
    natural_exp_decay=_natural_exp,
    inverse_time_decay=_inverse,
    polynomial_decay=_polynomial,
    piecewise_constant=_piecewise,
    piecewise_constant_decay=_piecewise,
    cosine_decay=_cosine,
    cosine_decay_restarts=_restarts,
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
