"""Copies of the trained weights: their moving average, and the slow weights of lookahead."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from optcore.schedules.catalogue import AnySchedule
from optcore.spec.base import Spec
from optcore.spec.duration import Duration, DurationOrShare, Epochs, RunLength, Share
from optcore.spec.errors import TAG, reject, short_repr
from optcore.spec.limits import MAX_COUNT, MAX_MOVED, at_most
from optcore.spec.optimizers.scheduled import take_schedules


class Beside(Spec):
    """
    The base of averages that are evaluated and saved in addition to the weights.

    JSON leaves out fields that have their default, so that a release without these fields can read
    the spec.
    """

    kind: str
    """The name of the average."""
    every: Duration = Field(1, exclude_if=lambda every: every == 1)
    """Number of updates of the run between two updates of the average."""
    every_from: Literal["run", "epoch"] = Field("run", exclude_if=lambda at: at == "run")
    """Where *every* is counted from. run: the average is updated after the updates every, 2 * every
    and so on of the run. epoch: after the first update of each epoch, and after every further
    *every* updates of that epoch, as in torchvision's model_ema_steps."""
    begin: DurationOrShare | None = Field(None, exclude_if=lambda begin: begin is None)
    """Number of updates after which the average begins; until then, each update of the average sets
    e to w. null: the average begins before the first update."""
    statistics: Literal["average", "copy", "recompute"] = Field(
        "average", exclude_if=lambda statistics: statistics == "average"
    )
    """What e holds of BatchNorm's running means and variances (the statistics). average: their
    average. copy: the statistics in w when the average was last updated (torch's
    use_buffers=False). recompute: at each evaluation, the network with the weights e computes the
    statistics of every batch of the training data, without shuffling and dropout, and e holds their
    mean (torch's update_bn). This costs a pass over the training data."""

    def begun(self, run: RunLength) -> int:
        """Return the number of updates after which the average begins."""
        return 0 if self.begin is None else math.floor(run.span(self.begin))

    def updates_in(self, t: int, run: RunLength) -> int:
        """Return how often the average is updated in the first *t* updates of a run."""
        every = max(1, run.steps(self.every))
        if self.every_from == "run":
            return t // every
        epochs, rest = divmod(t, run.steps_per_epoch)
        return epochs * math.ceil(run.steps_per_epoch / every) + math.ceil(rest / every)


class ShadowEma(Beside):
    """
    An exponential moving average e of w, the weights and BatchNorm statistics.

    The average is evaluated and saved in addition to w, and does not affect the training. If
    parameters are narrower than float32, w are the values that the network computes with, not
    their float32 copies.

    ::

        e = w                      before the first update
        e = d * e + (1 - d) * w    after each update, or once in *every* updates

    d is *decay*. With the following fields, d has another value after update t::

        warmup      min(decay, (1 + t) / (10 + t))
        ramp        decay * (1 - exp(-t / ramp))
        power       min(decay, 1 - (1 + t - begin) ** -power)
        begin       0 while t <= begin
        copy_first  0 at the first update of e after begin

    If decay has a schedule, update t uses the schedule's value at step t - 1, as for lr.

    torch's AveragedModel copies w at its first update, while its n_averaged is 0. A *copy_first* of
    true does the same. Some scripts set n_averaged back to 0 after updates, as torchvision's script
    does in its warmup. *begin* is then the last update after which the script sets n_averaged to 0.

    References:
        Polyak and Juditsky, Acceleration of Stochastic Approximation by Averaging, 1992.
        tf.train.ExponentialMovingAverage (warmup is its num_updates).
        mindcv 0.5 and mindocr 0.4 (ramp is 2000 there); YOLOv5's ModelEMA (ramp is its tau);
        timm 1.0.31 ModelEmaV3 (begin is its update_after_step + 1, power its warmup_power).
        torch 2.13 AveragedModel with get_ema_multi_avg_fn; torchvision 0.29's references.
        Grill et al., Bootstrap Your Own Latent, 2020 (a decay that rises from 0.996 to 1).
    """

    # Not dumped: the previous release knows only this average, without a kind, and reads the same
    # records and checkpoints during an upgrade.
    kind: Literal["shadow"] = Field("shadow", exclude=True)
    """An average that does not affect the training."""
    decay: float = Field(0.999, ge=0, lt=1)
    """Share of the old average that is kept."""
    warmup: bool = False
    """Whether the decay is smaller at the beginning of the run."""
    ramp: float | None = Field(
        None,
        gt=0,
        le=MAX_COUNT,
        exclude_if=lambda ramp: ramp is None,
        json_schema_extra={"unit": "steps"},
    )
    """Number of updates after which the decay has reached 63 % of its final value; null for no
    ramp. A ramp cannot be combined with warmup."""
    power: float | None = Field(None, gt=0, le=1000, exclude_if=lambda power: power is None)
    """Exponent of a decay that rises from 0; null for none. A power cannot be combined with warmup
    or ramp. timm and diffusers have 2/3. With 1, the average has equal weights until *decay* is
    reached."""
    copy_first: bool = Field(default=False, exclude_if=lambda copy_first: not copy_first)
    """Whether the first update of the average after *begin* sets e to w, as torch's AveragedModel
    does."""
    schedules: Annotated[dict[str, AnySchedule], at_most(MAX_MOVED, "schedules")] = Field(
        default_factory=dict, exclude_if=lambda schedules: not schedules
    )
    """Maps ``decay`` to the schedule of the decay, whose values must be from 0 to 1. It may also be
    written in place of the number: ``{"decay": {"kind": "cosine", "value": 0.996, "end": 1}}``."""

    def hyperparameters(self) -> dict[str, float]:
        """Return the numbers that may have a schedule, by name."""
        return {"decay": self.decay}

    @property
    def is_former(self) -> bool:
        """Whether release 0.2.0 has this average."""
        return self.model_dump().keys() == {"decay", "warmup"}

    @model_validator(mode="before")
    @classmethod
    def _take_schedules(cls, data: Any) -> Any:  # noqa: ANN401  whatever was given
        return take_schedules(cls, data) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _rises_in_one_way(self) -> Self:
        if self.ramp is not None and self.warmup:
            reject(["ramp"], f"ramp must be null with warmup, got {self.ramp:g}", self.ramp)
        for name, given in (("warmup", self.warmup), ("ramp", self.ramp is not None)):
            if self.power is not None and given:
                text = f"power must be null with {name}, got {self.power:g}"
                reject(["power"], text, self.power)
        return self

    @model_validator(mode="after")
    def _schedules_move_the_decay(self) -> Self:
        for name in self.schedules:
            if name != "decay":
                text = f"schedules must be for decay, got {short_repr(name)}"
                reject(["schedules", name], text, name)
        return self


class Swa(Beside):
    """
    Stochastic weight averaging: the mean e of the weights w at several points of the run.

    ::

        e = w                       up to begin, and at the first update of e after begin
        e = e + (w - e) / (n + 1)   at each further update of e

    n is the number of updates of e since begin, which torch's AveragedModel calls n_averaged.

    The training loop in torch's documentation averages after each epoch i > swa_start, where i is 0
    for the first epoch, and then calls update_bn. For this loop, *begin* is
    ``{"epochs": swa_start + 1}`` and *statistics* is recompute. The lr of SWALR, which the loop
    uses, is a schedule of kind chain here: its last part is a constant with a warmup
    (docs/training.md).

    References:
        Izmailov et al., Averaging Weights Leads to Wider Optima and Better Generalization, 2018.
        https://arxiv.org/abs/1803.05407
        torch 2.13 AveragedModel with get_swa_multi_avg_fn. For float64 weights, torch rounds
        1 / (n + 1) to float32; here it is not rounded.
    """

    kind: Literal["swa"]
    every: Duration = Epochs(epochs=1)
    """Number of updates of the run between two updates of the average."""
    begin: DurationOrShare | None = Share(fraction=0.75)
    """Number of updates after which the average begins; until then, each update of the average sets
    e to w. null: the average begins before the first update."""


class KerasEma(Spec):
    """
    An exponential moving average e of the parameters p, which the optimizer maintains.

    The run is evaluated with e, and the artifact (the trained model) contains e. If
    *overwrite_every* is given, e also replaces p during the training. If parameters have float32
    copies, the copies are averaged.

    ::

        e = p                              after the first update
        e = decay * e + (1 - decay) * p    after each further update
        p = e                              every overwrite_every updates

    References:
        keras.optimizers.Optimizer(use_ema=True, ema_momentum=, ema_overwrite_frequency=).
    """

    kind: Literal["keras"]
    decay: float = Field(0.99, ge=0, le=1)
    """Share of the old average that is kept (Keras' ema_momentum)."""
    overwrite_every: int | None = Field(
        None, ge=1, le=MAX_COUNT, json_schema_extra={"unit": "steps"}
    )
    """Number of updates after which the parameters are set to their average; null for never."""


def _tag(value: Any) -> str:  # noqa: ANN401  pydantic hands over whatever was given
    given = value.get("kind", "shadow") if isinstance(value, dict) else None
    return f"{TAG}{given or getattr(value, 'kind', 'shadow')}"


AnyEma = Annotated[
    Annotated[ShadowEma, Tag(f"{TAG}shadow")]
    | Annotated[Swa, Tag(f"{TAG}swa")]
    | Annotated[KerasEma, Tag(f"{TAG}keras")],
    Discriminator(_tag),
]
"""Any moving average, selected by `kind`, which is shadow by default."""


class Lookahead(Spec):
    """
    Slow weights s that follow the trained weights w.

    Once in *every* updates, s moves toward w, and w is set to s::

        s = s + alpha * (w - s)
        w = s

    The trained weights w are evaluated and saved, whereas the paper returns the slow weights s. The
    two are equal whenever w has just been set to s.

    References:
        Zhang et al., Lookahead Optimizer: k steps forward, 1 step back, 2019, Algorithm 1.
        https://arxiv.org/abs/1907.08610
    """

    every: int = Field(5, ge=1, le=MAX_COUNT, json_schema_extra={"unit": "steps"})
    """Number of updates after which w is set to s (the paper's k)."""
    alpha: float = Field(0.5, gt=0, le=1)
    """Fraction of the distance to the trained weights by which the slow weights move."""
