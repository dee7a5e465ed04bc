"""Training: how long, on which device, in which precision, and what is recorded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self, get_args

from pydantic import Field, PrivateAttr, model_validator

from optcore.spec.base import Spec
from optcore.spec.duration import MAX_STEPS, Duration, Epochs
from optcore.spec.errors import reject
from optcore.spec.evaluation import (
    EarlyStopping,
    Metric,
    MetricName,
    RequestedMetric,
    chooses_by_test,
)
from optcore.spec.former.places import FormerPlace, clip_is_of_the_optimizer
from optcore.spec.groups.globs import Glob
from optcore.spec.limits import MAX_NAMES
from optcore.spec.loss_scale import AnyLossScale
from optcore.spec.tasks.losses import AnyLoss, CrossEntropy
from optcore.spec.weights import AnyEma, KerasEma, Lookahead, ShadowEma, Swa

Precision = Literal[
    "fp32",
    "fp64",
    "bf16",
    "fp16",
    "bf16_true",
    "fp16_true",
    "mindspore_o1",
    "mindspore_o2",
    "mindspore_o3",
]
Device = Literal["auto", "cpu", "cuda"]
Computed = Literal["grad_norm", "update_ratio", "loss_scale", "x0", "x1"]
Observed = Literal["examples_per_s", "memory_mb"]
COMPUTED: tuple[Computed, ...] = get_args(Computed)
"""Columns whose values a resumed run reproduces bit for bit."""
POINT: tuple[Computed, ...] = ("x0", "x1")
"""Columns with coordinates of a point; they are the first ones of the layer point."""
OBSERVED: tuple[Observed, ...] = get_args(Observed)
"""Columns that describe the machine; if a step is repeated, the last value counts."""


class Training(Spec):
    """How a model is trained. Exactly one of *epochs* and *steps* must be given."""

    FORMER_PLACES: ClassVar[Mapping[str, FormerPlace]] = {"clip": clip_is_of_the_optimizer}

    epochs: float | None = Field(None, gt=0, le=MAX_STEPS, json_schema_extra={"unit": "epochs"})
    """Length of the run in passes over the training data, rounded to whole steps."""
    steps: int | None = Field(None, ge=1, le=MAX_STEPS, json_schema_extra={"unit": "steps"})
    """Length of the run in steps. Each step attempts one update and adds one row to the series of
    recorded values."""
    # Below 2**63: of a larger one, numpy would make the Philox key [seed, epoch] in float64.
    seed: int = Field(0, ge=0, lt=2**63)
    """Seed for every random choice: initial weights, order of the examples, dropout."""
    device: Device = "auto"
    """Device to train on; auto uses a GPU if a worker has one."""
    precision: Precision = "fp32"
    """Precision of the computation. fp32, fp64: everything has this precision. bf16, fp16: the
    operations that autocast selects have it, while parameters, gradients and slots (the
    optimizer's state) stay float32. bf16_true, fp16_true: parameters, gradients and slots have it
    too; the optimizer's multi_precision then keeps float32 copies of the parameters, and float32
    slots. mindspore_o1, mindspore_o2, mindspore_o3: MindSpore's amp levels, in which parameters,
    gradients and slots stay float32 and layers compute in float16: conv2d and linear (O1), all but
    batch_norm (O2), all (O3)."""
    loss_scale: AnyLossScale | None = None
    """Factor that multiplies the loss and is divided out of the gradient; null for no factor. With
    precision fp16 or mindspore_o2, null stands for a dynamic loss scale (mindspore_o2: from
    2^24)."""
    accumulate: int = Field(1, ge=1, le=65_536, json_schema_extra={"unit": "batches"})
    """Number of batches whose gradients make one update, as if they were one batch."""
    loss: AnyLoss = CrossEntropy(kind="cross_entropy")
    """The loss to minimize."""
    frozen: list[Glob] = Field(
        default_factory=list, max_length=MAX_NAMES, exclude_if=lambda globs: not globs
    )
    """Globs for the names of parameters that are not trained, such as ``"backbone.*"``. They have
    no gradients, no state of the optimizer, no weight decay and no share in the norms that clip
    gradients. A parameter that several layers share is frozen by its own name."""
    frozen_statistics: bool = Field(default=False, exclude_if=lambda fixed: not fixed)
    """Whether each batch_norm all of whose parameters are frozen normalizes with its running
    statistics in training too, and leaves them as they are (torch's ``module.eval()``). One without
    parameters does so if a glob would find its weight. If false, a batch_norm normalizes with the
    mean and variance of the batch, and its running statistics move."""
    ema: AnyEma | None = None
    """Average of the weights. shadow: an exponential moving average. swa: the mean of the weights
    at several points of the run. Both are evaluated and saved in addition to the weights. keras: a
    moving average that the optimizer maintains and that is evaluated instead of the weights. null:
    no average."""
    lookahead: Lookahead | None = None
    """Slow weights, to which the trained weights are reset every few updates; null for no
    lookahead."""
    evaluate_every: Duration | None = Epochs(epochs=1)
    """How often the metrics are measured on the validation examples; null for only at the end of
    the run. At the end, the validation and the test examples are evaluated. Without validation
    examples (dataset.validation) there are no evaluations before the end."""
    metrics: list[RequestedMetric] = Field(
        default_factory=list, max_length=64, exclude_if=lambda names: not names
    )
    """Metrics to measure in addition to those that every run of its task has, such as macro_f1."""
    top_k: Annotated[int, Field(ge=2, le=65_536)] | None = None
    """Number k of classes: evaluations also report the share of examples whose class is among the k
    most likely classes. null for no such report."""
    confusion: bool = False
    """Whether evaluations also report a confusion matrix: for each class, how many of its examples
    were predicted as each class."""
    keep_best: Metric | None = None
    """Metric by which the best checkpoint is chosen and kept; null to keep no best checkpoint."""
    early_stopping: EarlyStopping | None = None
    """Condition that ends the run when a metric no longer improves; null for no such condition."""
    _chooses_by_test: bool = PrivateAttr(default_factory=chooses_by_test)
    on_divergence: Literal["fail", "skip"] = "fail"
    """What happens when a loss is not finite or exceeds loss_limit. fail: the run ends as diverged.
    skip: the update is skipped, and neither t (the number of updates) nor the schedule advances."""
    loss_limit: float | None = Field(None, gt=0)
    """Largest loss that does not count as a divergence; null for no limit on finite losses."""
    checkpoint_every: Duration | None = 500
    """How often a checkpoint is saved; null for never. After a crash, the run resumes from its last
    checkpoint."""
    exact: bool = True
    """Whether a resumed run must give the same results bit for bit. If so, only workers with the
    fingerprint (hardware and library versions) of the worker that began the run may resume it."""
    columns: list[Literal[Computed, Observed]] = Field(default_factory=list, max_length=16)
    """Columns recorded at every step in addition to lr and loss. Computed from the training:
    grad_norm (norm of all gradients together, before clipping), update_ratio (norm of the update
    divided by the norm of the trained weights), loss_scale; for the task minimization also x0 and
    x1 (the first two coordinates of the point at which the loss is computed). Observed on the
    machine: examples_per_s, memory_mb."""

    @property
    def chooses_by_test(self) -> bool:
        """Whether the run evaluates only the test examples, as in releases up to 0.2.0."""
        return self._chooses_by_test

    @property
    def shadow_ema(self) -> ShadowEma | Swa | None:
        """The average that is evaluated and saved in addition to the weights, or None."""
        return self.ema if isinstance(self.ema, (ShadowEma, Swa)) else None

    @property
    def keras_ema(self) -> KerasEma | None:
        """The moving average that the optimizer maintains, or None."""
        return self.ema if isinstance(self.ema, KerasEma) else None

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.epochs is None) == (self.steps is None):
            given = "neither" if self.epochs is None else "both"
            text = f"exactly one of epochs and steps must be given, got {given}"
            reject(["epochs"], text, self.epochs)
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
            if metric is not None and MetricName.of(metric).ema and self.shadow_ema is None:
                got = "none" if self.ema is None else self.ema.kind
                reject(
                    path,
                    f"{path[-1]} {metric} needs an ema of kind shadow or swa, got {got}",
                    metric,
                )
        if stopping is not None and self.evaluate_every is None:
            reject(
                ["evaluate_every"],
                "evaluate_every is required for early_stopping, which follows evaluations, "
                "got null",
                None,
            )
        return self
