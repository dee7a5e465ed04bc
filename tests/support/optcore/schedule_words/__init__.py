"""
From a recorded schedule, in its framework's own words, to our spec.

Each translator takes every argument its class has in that framework, not only those the recorded
cases use, and fails on one it does not know: a parameter silently dropped would be a false pass.
"""

from __future__ import annotations

from tests.support.optcore.schedule_words.mindspore import mindspore
from tests.support.optcore.schedule_words.optax import optax
from tests.support.optcore.schedule_words.paddle import paddle
from tests.support.optcore.schedule_words.paddleocr import paddleocr
from tests.support.optcore.schedule_words.shared import Params, Translated, without
from tests.support.optcore.schedule_words.tensorflow import keras, tf1
from tests.support.optcore.schedule_words.timm import timm
from tests.support.optcore.schedule_words.torch import momentum_of, torch_schedule
from tests.support.optcore.schedule_words.transformers import transformers

__all__ = ["Translated", "momentum_of", "translated"]


def translated(
    framework: str,
    name: str,
    params: Params,
    *,
    drive: str,
    steps: int,
    single: bool = False,
    per_epoch: int = 1,
) -> Translated:
    """
    Return our words for a schedule of which the first *steps* values were recorded.

    Args:
        framework: the framework that computed them.
        name: its class or function.
        params: the arguments.
        drive: how it was asked for the values.
        steps: how many were recorded.
        single: whether they are of float32.
        per_epoch: updates in an epoch.
    """
    if framework == "transformers":
        return transformers(name, params)
    if framework == "optax":
        return optax(name, params, single=single)
    if framework == "torch":
        base = params["lr"]
        return torch_schedule(name, without(params, "lr"), base, steps)
    if framework == "mindspore" and name.startswith("experimental."):
        base = params["lr"]
        bare = name.removeprefix("experimental.")
        return torch_schedule(bare, without(params, "lr"), base, steps, single=True)
    if framework == "mindspore":
        return mindspore(name, params)
    if framework == "paddle":
        return paddle(name, params, steps, closed=drive == "step(epoch)")
    if framework == "paddleocr":
        return paddleocr(name, params)
    if framework == "timm":
        return timm(name, params, steps=steps, updates_per_epoch=per_epoch)
    if framework == "keras":
        return keras(name, params)
    assert framework == "tf1", framework
    return tf1(name, params)
