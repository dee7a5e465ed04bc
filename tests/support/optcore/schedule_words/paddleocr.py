"""PaddleOCR, whose durations are in epochs."""

from __future__ import annotations

from tests.support.optcore.schedule_words.paddle import entered_later
from tests.support.optcore.schedule_words.shared import (
    SHAPES,
    Params,
    Spec,
    Translated,
    behind,
    piecewise,
    polynomial,
    take,
)


def paddleocr(name: str, params: Params) -> Translated:
    params = dict(params)
    last = params.pop("last_epoch", -1)
    epoch = params.pop("step_each_epoch")
    warmup = round(params.pop("warmup_epoch", 0) * epoch)
    spec, lr = paddleocr_plain(name, params, epoch)
    found = Translated({**spec, "dialect": "paddleocr"}, lr, epoch)
    if warmup:
        peak = spec["values"][0] if spec["kind"] == "piecewise" else lr
        found = behind(found, warmup, 0.0, float(peak), 0)
    recursive = {"Cosine": "CosineAnnealingDecay"}.get(name, name) if not warmup else ""
    return found if last == -1 else entered_later(found, recursive, last)


def paddleocr_plain(name: str, params: Params, epoch: int) -> tuple[Spec, float]:
    match name:
        case "Piecewise":
            epochs, values = take(params, decay_epochs=..., values=...)
            return piecewise([epoch * e for e in epochs], values), 1.0
        case "OneCycle":
            peak, epochs, shape, three = take(
                params, max_lr=..., epochs=..., anneal_strategy="cos", three_phase=False
            )
            spec = {
                "kind": "one_cycle",
                "length": epochs * epoch,
                "shape": SHAPES[shape],
                "three_phase": three,
            }
            return spec, peak
    lr = params.pop("learning_rate")
    match name:
        case "Linear":
            epochs, end, power = take(params, epochs=..., end_lr=0.0, power=1.0)
            return polynomial(round(epochs * epoch), end, power, False), lr
        case "DecayLearningRate":
            epochs, factor = take(params, epochs=..., factor=0.9, ignored=("end_lr",))
            return polynomial(epoch * epochs, 0.0, factor, False), lr
        case "Cosine":
            (epochs,) = take(params, epochs=...)
            return {"kind": "cosine", "length": epoch * epochs}, lr
        case "Step":
            size, gamma = take(params, step_size=..., gamma=0.1)
            return {"kind": "step", "every": epoch * size, "gamma": float(gamma)}, lr
        case "MultiStepDecay":
            milestones, gamma = take(params, milestones=..., gamma=0.1)
            at = [epoch * m for m in milestones]
            return {"kind": "multi_step", "milestones": at, "gamma": float(gamma)}, lr
        case "CyclicalCosine":
            (cycle,) = take(params, cycle=..., ignored=("epochs",))
            return {"kind": "cyclical_cosine", "length": round(cycle * epoch)}, lr
        case "TwoStepCosine":
            (epochs,) = take(params, epochs=...)
            return {"kind": "two_step_cosine", "first": 200 * epoch, "length": epochs * epoch}, lr
        case "Const":
            take(params)
            return {"kind": "constant"}, lr
    raise NotImplementedError(name)
