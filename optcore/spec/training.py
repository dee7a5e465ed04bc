"""Training: how long, on which device, in which precision, and what is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, model_validator

from optcore.spec.base import Spec
from optcore.spec.duration import MAX_STEPS, Duration, Epochs
from optcore.spec.errors import reject
from optcore.spec.evaluation import EarlyStopping, Metric
from optcore.spec.former_places import FormerPlace, clip_is_of_the_optimizer
from optcore.spec.loss_scale import AnyLossScale
from optcore.spec.losses import AnyLoss, CrossEntropy
from optcore.spec.weights import AnyEma, KerasEma, Lookahead, ShadowEma

Precision = Literal["fp32", "fp64", "bf16", "fp16", "bf16_true", "fp16_true"]
Device = Literal["auto", "cpu", "cuda"]
Computed = Literal["grad_norm", "update_ratio", "loss_scale"]
Observed = Literal["examples_per_s", "memory_mb"]
COMPUTED: tuple[Computed, ...] = get_args(Computed)
"""Columns that a resumed run computes again, to the same bits."""
OBSERVED: tuple[Observed, ...] = get_args(Observed)
"""Columns about the machine; where a step is repeated, the last value counts."""


class Training(Spec):
    """How a model is trained; give either *epochs* or *steps*."""

    FORMER_PLACES: ClassVar[Mapping[str, FormerPlace]] = {"clip": clip_is_of_the_optimizer}

    epochs: float | None = Field(None, gt=0, le=MAX_STEPS, json_schema_extra={"unit": "epochs"})
    """Passes over the training data, rounded to whole steps."""
    steps: int | None = Field(None, ge=1, le=MAX_STEPS, json_schema_extra={"unit": "steps"})
    """Attempted updates, each a row of the series."""
    # Below 2**63: of a larger one, numpy would make the Philox key [seed, epoch] in float64.
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed of every random choice: initial weights, order of the examples, dropout."""
    device: Device = "auto"
    """Where to train; auto for a GPU if a worker has one."""
    precision: Precision = "fp32"
    """fp32, fp64: everything has this precision. bf16, fp16: the operations that autocast selects,
    while parameters, gradients and slots stay float32. bf16_true, fp16_true: parameters, gradients
    and slots too; the optimizer's multi_precision then keeps float32 copies and slots."""
    loss_scale: AnyLossScale | None = None
    """Factor of the loss, divided out of the gradient; null for none, or with fp16 for a dynamic
    one."""
    accumulate: int = Field(1, ge=1, le=65_536, json_schema_extra={"unit": "batches"})
    """Batches whose gradients make one update, as if they were one batch."""
    loss: AnyLoss = CrossEntropy(kind="cross_entropy")
    """The loss to minimize."""
    ema: AnyEma | None = None
    """A moving average of the weights: evaluated and saved beside them (shadow), or maintained by
    the optimizer and evaluated in their place (keras); null for none."""
    lookahead: Lookahead | None = None
    """Slow weights that the trained weights are reset to every few updates; null for none."""
    evaluate_every: Duration | None = Epochs(epochs=1)
    """How often loss and accuracy on the held-out examples are measured; always at the end."""
    top_k: Annotated[int, Field(ge=2, le=65_536)] | None = None
    """Evaluations also report the share of examples whose class is among the k likeliest."""
    confusion: bool = False
    """Evaluations also count, for each class, the predicted classes of its examples."""
    keep_best: Metric | None = None
    """Keep the checkpoint that is best by this metric; null for none."""
    early_stopping: EarlyStopping | None = None
    """End the run when a metric no longer improves; null for never."""
    on_divergence: Literal["fail", "skip"] = "fail"
    """What happens when a loss is not finite or above loss_limit: the run ends as diverged, or
    the update is skipped, and neither t nor the schedule moves."""
    loss_limit: float | None = Field(None, gt=0)
    """Largest loss that is not a divergence; null for any finite one."""
    checkpoint_every: Duration | None = 500
    """How often a checkpoint is saved, from which the run resumes after a crash; null for never."""
    exact: bool = True
    """Whether a resumed run must have the same bits: only workers with the fingerprint it began
    with may continue it."""
    columns: list[Computed | Observed] = Field(default_factory=list, max_length=16)
    """Columns recorded at every step besides lr and loss. Computed: grad_norm (of all gradients
    together, before clipping), update_ratio (norm of the update over norm of the weights),
    loss_scale. Observed: examples_per_s, memory_mb."""

    @property
    def shadow_ema(self) -> ShadowEma | None:
        """The average that is evaluated and saved beside the weights, if there is one."""
        return self.ema if isinstance(self.ema, ShadowEma) else None

    @property
    def keras_ema(self) -> KerasEma | None:
        """The average that the optimizer maintains, if there is one."""
        return self.ema if isinstance(self.ema, KerasEma) else None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            given = "neither" if self.epochs is None else "both"
            reject(["epochs"], f"give either epochs or steps, got {given}", self.epochs)
        return self

    @model_validator(mode="after")
    def _columns_differ(self) -> Self:
        for i, name in enumerate(self.columns):
            if name in self.columns[:i]:
                reject(["columns", i], f"columns must differ, got {name!r} twice", name)
        return self

    @model_validator(mode="after")
    def _metrics_are_measured(self) -> Self:
        stopping = self.early_stopping
        for path, metric in (
            (["keep_best"], self.keep_best),
            (["early_stopping", "metric"], stopping.metric if stopping is not None else None),
        ):
            if metric is not None and metric.startswith("ema_") and self.shadow_ema is None:
                got = "none" if self.ema is None else self.ema.kind
                reject(path, f"{path[-1]} {metric} needs an ema of kind shadow, got {got}", metric)
        if stopping is not None and self.evaluate_every is None:
            reject(
                ["evaluate_every"],
                "evaluate_every is required for early_stopping, which follows evaluations, "
                "got null",
                None,
            )
        return self
