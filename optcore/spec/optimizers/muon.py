"""Muon, which makes the step of a matrix orthogonal."""

from __future__ import annotations

from math import prod
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from optcore.spec.base import Dialect, per_dialect
from optcore.spec.errors import reject
from optcore.spec.groups.globs import Glob
from optcore.spec.layers.base import Shape
from optcore.spec.limits import MAX_NAMES, are_lifted
from optcore.spec.optimizers.base import OptimizerSpec

NS_SCHEDULES = ("quintic", "polar_express", "polar_express_safer")
"""Named coefficients that change from iteration to iteration."""
SHARED_WITH_ADAMW = (
    "dialect",
    "engine",
    "lr",
    "l1",
    "l2",
    "maximize",
    "corrected_weight_decay",
    "grad_centralization",
    "clip",
    "multi_precision",
)
"""Fields of muon that also apply to the AdamW that trains the parameters that are not matrices."""


class Muon(OptimizerSpec):
    """
    Momentum in which the step for a matrix is replaced by the nearest orthogonal matrix.

    ::

        keras        v = momentum * v + g
                     n = momentum * v + g                     nesterov; otherwise n = v
        optax        v = momentum * v + (1 - momentum) * g
                     n = v / (1 - momentum ** t)                           without nesterov
                     n = momentum * v / (1 - momentum ** (t + 1))          with nesterov
                         + (1 - momentum) * g / (1 - momentum ** t)
        elsewhere    v = momentum * v + (1 - momentum) * g
                     n = momentum * v + (1 - momentum) * g    nesterov; otherwise n = v

        X = n / norm(n)
        repeat ns_steps times:
            A = X X^T
            X = ns_a * X + (ns_b * A + ns_c * A A) X

        p = p - lr * weight_decay * p
        p = p - lr * s * X
        s = sqrt(max(1, rows / columns))        adjust_lr original
            rms_rate * sqrt(max(rows, columns)) match_rms_adamw
            sqrt(rows / columns)                rms_to_rms
            1 / sqrt(columns)                   rsqrt_in

        adaptive (AdaMuon)
        q = adamw_beta2 * q + (1 - adamw_beta2) * X * X
        Y = X / (sqrt(q / (1 - adamw_beta2 ** t)) + ns_eps)          takes the place of X
        match_rms_adamw: Y = X / (sqrt(q) + ns_eps), s = rms_rate * sqrt(elements of p) / norm(Y)

    v is the velocity, n is the step before it is made orthogonal, and s scales the step by the
    shape of the matrix.

    AdamW trains the parameters that are not matrices, and those whose names match a glob in the
    field exclude. In optax, NAdam takes the place of AdamW if nesterov is true.

    torch, timm and article compute X in bfloat16, whatever the dtype of the parameters.

    In optax, n is corrected for the start of v at 0, as in Adam. The matrices of optax have a row
    per input, so rows and columns change places in s.

    In timm and article, a convolution kernel is a matrix too, with one row per output. All other
    dimensions form the columns. In article (the author's code), s of a kernel is computed from its
    last two dimensions.

    In timm, AdamW also trains depthwise kernels, matrices with a side below 4, and matrices whose
    sides have a ratio above 128. If nesterov is true, this AdamW looks ahead too.

    References:
        Jordan et al., Muon: An Optimizer for Hidden Layers in Neural Networks, 2024.
        https://kellerjordan.github.io/posts/muon/
        Liu et al., Muon is Scalable for LLM Training, 2025 (match_rms_adamw).
        https://arxiv.org/abs/2502.16982
        Si et al., AdaMuon: Adaptive Muon Optimizer, 2025 (adaptive).
        https://arxiv.org/abs/2507.11005
        torch.optim.Muon, keras.optimizers.Muon, optax.contrib.muon; timm 1.0.31: muon, nmuon,
        adamuon, nadamuon; article: github.com/KellerJordan/Muon at 5bc6993.
    """

    DIALECTS: ClassVar[tuple[Dialect, ...]] = ("torch", "keras", "optax", "timm", "article")
    BIAS_IN_DOUBLE: ClassVar[frozenset[str]] = frozenset({"eps"})
    STATE_BYTES: ClassVar[str] = "4; 8 for parameters that are not matrices, and with adaptive"

    kind: Literal["muon"]
    lr: float = per_dialect(
        {"torch": 1e-3, "keras": 1e-3, "optax": None, "timm": 0.02, "article": 0.02}, gt=0
    )
    """Learning rate."""
    weight_decay: float = per_dialect(
        {"torch": 0.1, "keras": 0.004, "optax": 0.0, "timm": 0.0, "article": 0.0}, ge=0
    )
    """Decoupled weight decay, which is multiplied by lr."""
    decoupled_weight_decay: Literal[True] = True
    """Always true for this optimizer."""
    momentum: float = Field(0.95, ge=0, lt=1)
    """Share of the old velocity that is kept."""
    nesterov: bool = per_dialect(
        {"torch": True, "keras": True, "optax": True, "timm": False, "article": True}
    )
    """Whether to look ahead, by mixing the gradient into the velocity once more (n above)."""
    ns_a: float = 3.4445
    """Coefficient of X in the iteration."""
    ns_b: float = -4.775
    """Coefficient of A X."""
    ns_c: float = 2.0315
    """Coefficient of A A X."""
    ns_schedule: Literal["constant", "quintic", "polar_express", "polar_express_safer"] = (
        per_dialect({"timm": "quintic"})
    )
    """Coefficients that change from iteration to iteration, by timm's names; constant for ns_a,
    ns_b and ns_c (timm's original)."""
    # torch refuses 100 and more.
    ns_steps: int = Field(5, ge=0, lt=100)
    """Number of iterations."""
    ns_eps: float = per_dialect(
        {"torch": 1e-7, "keras": 1e-7, "optax": 1e-8, "timm": 1e-7, "article": 1e-7}, ge=0
    )
    """Keeps the divisor norm(n) away from 0."""
    ns_safety: float = per_dialect({"timm": 1.0}, gt=0)
    """Factor that multiplies the divisor norm(n) (timm's safety_factor)."""
    scale_eps: bool = per_dialect({"timm": False})
    """Whether ns_eps is multiplied by sqrt(columns / rows) and added to norm(n), instead of being
    the lower limit of norm(n)."""
    adjust_lr: Literal["original", "match_rms_adamw", "rms_to_rms", "rsqrt_in", "none"] = (
        per_dialect(
            {
                "torch": "original",
                "keras": "match_rms_adamw",
                "optax": "original",
                "timm": "match_rms_adamw",
                "article": "original",
            }
        )
    )
    """How lr is scaled by the shape of the matrix (s above; none: s = 1). Keras has only
    match_rms_adamw and none. timm also has rms_to_rms. With adaptive, timm has rsqrt_in in place of
    original."""
    conv_mode: Literal["flatten", "batched"] = per_dialect({"timm": "flatten"})
    """Whether a convolution kernel is one matrix (flatten), or one matrix for each of its positions
    in height and width (batched)."""
    normalize_spatial: bool = per_dialect({"timm": True})
    """Whether s of a batched kernel is divided by the square root of the number of positions."""
    adaptive: bool = per_dialect({"timm": False})
    """Whether a step is divided by the root of the running mean of its square (AdaMuon)."""
    rms_rate: float = Field(0.2, gt=0)
    """Root mean square of a step under match_rms_adamw."""
    exclude: list[Glob] = Field(default_factory=list, max_length=MAX_NAMES, fail_fast=True)
    """Globs of the names of matrices that AdamW trains, such as embeddings and the last layer."""
    adamw_lr_scale: float = Field(1.0, gt=0)
    """AdamW's lr, as a multiple of lr."""
    adamw_weight_decay: float = per_dialect(
        {"torch": 0.01, "keras": 0.004, "optax": 0.0, "article": 0.0}, ge=0
    )
    """AdamW's weight decay; in timm it is weight_decay."""
    adamw_beta1: float = Field(0.9, ge=0, lt=1)
    """AdamW's beta1."""
    adamw_beta2: float = per_dialect(
        {"torch": 0.999, "keras": 0.999, "optax": 0.999, "timm": 0.95, "article": 0.95}, ge=0, lt=1
    )
    """AdamW's beta2; with adaptive, also the share of the old mean square q that is kept."""
    adamw_eps: float = per_dialect(
        {"torch": 1e-8, "keras": 1e-7, "optax": 1e-8, "article": 1e-10}, ge=0
    )
    """AdamW's eps; in timm it is ns_eps."""

    def hyperparameters(self) -> dict[str, float]:
        """Return the hyperparameters of the update rule for matrices, by name."""
        numbers = super().hyperparameters()
        own = {name: numbers[name] for name in numbers if not name.startswith("adamw_")}
        return {**own, "beta2": self.adamw_beta2}

    def flags(self, *, single_precision: bool) -> dict[str, bool]:
        """Return the flags for the momentum, the iteration and the scaling of lr."""
        batched = self.conv_mode == "batched" and self.dialect == "timm"
        schedule = self.ns_schedule if self.dialect == "timm" else "constant"
        return {
            "nesterov": self.nesterov,
            "mean_velocity": self.dialect != "keras",
            "corrected": self.dialect == "optax",
            "in_bfloat16": self.dialect in ("torch", "timm", "article"),
            "floored": self.dialect in ("torch", "timm"),
            "eps_by_shape": self.scale_eps,
            "rounded": self.dialect == "article",
            "by_aspect": self.adjust_lr == "original",
            "by_size": self.adjust_lr == "match_rms_adamw",
            "by_ratio": self.adjust_lr == "rms_to_rms",
            "by_inputs": self.adjust_lr == "rsqrt_in",
            "by_last": self.dialect == "article",
            "inputs_first": self.dialect == "optax",
            "by_place": batched and self.normalize_spatial,
            "batched": batched,
            "adaptive": self.adaptive,
            **{name: schedule == name for name in NS_SCHEDULES},
        }

    def adamw(self) -> dict[str, Any]:
        """
        Return the data of the spec for the parameters that are not matrices.

        The spec is that of AdamW, or in optax with nesterov that of NAdam. The caller must multiply
        the lr in the data by adamw_lr_scale, at every step of a schedule.
        """
        # In Keras the decay uses lr before it is scaled.
        scale = self.adamw_lr_scale if self.dialect == "keras" else 1.0
        own = {
            "kind": "adamw",
            **{name: getattr(self, name) for name in SHARED_WITH_ADAMW},
            "schedules": {n: s for n, s in self.schedules.items() if n in SHARED_WITH_ADAMW},
            "weight_decay": self.adamw_weight_decay / scale,
            "beta1": self.adamw_beta1,
            "beta2": self.adamw_beta2,
            "eps": self.adamw_eps,
        }
        if self.dialect == "article":  # the author's Adam is torch's AdamW
            return {**own, "dialect": "torch"}
        if self.dialect == "optax" and self.nesterov:
            return {**own, "kind": "nadam", "decoupled_weight_decay": True}
        if self.dialect != "timm":
            return own
        shared = {n: s for n, s in self.schedules.items() if n == "weight_decay"}
        return {
            **own,
            "schedules": {**own["schedules"], **shared},
            "weight_decay": self.weight_decay,
            "eps": self.ns_eps,
            "nesterov": self.nesterov,
        }

    @model_validator(mode="after")
    def _the_scale_is_one_that_the_dialect_has(self) -> Self:
        known = ["original", "match_rms_adamw", "none"]
        if self.dialect == "timm":
            known = [*(["rsqrt_in"] if self.adaptive else ["original"]), *known[1:], "rms_to_rms"]
        if self.adjust_lr not in known:
            whose = "adaptive muon" if self.adaptive else "muon"
            reject(
                ["adjust_lr"],
                f"adjust_lr of {whose} in dialect {self.dialect} must be one of "
                f"{', '.join(known)}, got {self.adjust_lr!r}",
                self.adjust_lr,
            )
        return self

    @model_validator(mode="after")
    def _keras_has_no_original(self) -> Self:
        # A job that an earlier release accepted with original is trained with original.
        if self.dialect == "keras" and self.adjust_lr == "original" and not are_lifted():
            reject(
                ["adjust_lr"],
                f"adjust_lr must be match_rms_adamw or none in dialect keras, got "
                f"{self.adjust_lr!r}",
                self.adjust_lr,
            )
        return self

    def state_bytes(self, shape: Shape) -> int:
        """Return the bytes of state for a float32 parameter of *shape*."""
        return (8 if self.adaptive else 4) * prod(shape)
