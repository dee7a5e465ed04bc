"""Training: how long, on what, in which precision, and what is looked at on the way."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import Spec
from optcore.spec.duration import MAX_STEPS, Duration, Epochs
from optcore.spec.errors import violated
from optcore.spec.optimizers.clip import AnyClip

Precision = Literal["fp32", "fp64", "bf16", "fp16"]
Device = Literal["auto", "cpu", "cuda"]


class Training(Spec):
    """The run itself; give either *epochs* or *steps*."""

    epochs: float | None = Field(None, gt=0, le=MAX_STEPS, json_schema_extra={"unit": "epochs"})
    """Passes over the training data, rounded to whole steps."""
    steps: int | None = Field(None, ge=1, le=MAX_STEPS, json_schema_extra={"unit": "steps"})
    """Updates."""
    seed: int = Field(0, ge=0, lt=2**63)
    """Where every random choice starts: initial weights, order of the examples, dropout."""
    device: Device = "auto"
    """Where to train; auto for a GPU if a worker has one."""
    precision: Precision = "fp32"
    """Of parameters, gradients and the optimizer's slots. With bf16 and fp16 the optimizer's
    multi_precision keeps float32 copies of the parameters, and float32 slots."""
    clip: AnyClip | None = None
    """Limit of the gradient, the same as the optimizer's clip; null for none."""
    evaluate_every: Duration | None = Epochs(epochs=1)
    """How often loss and accuracy on the held-out examples are measured; always at the end."""
    checkpoint_every: Duration | None = 500
    """How often the run is saved, to continue from there after a crash; null for never."""

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            given = "neither" if self.epochs is None else "both"
            violated(["epochs"], f"give either epochs or steps, got {given}", self.epochs)
        return self
