"""From a schedule's spec to the curve it means: one small function per kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optcore.schedules.base import Dialectal, ScheduleSpec
from optcore.schedules.curves import combinators, cosines, decays, falls, stairs, waves
from optcore.schedules.curves.warmup import warmup
from optcore.schedules.families import annealing as fall_specs
from optcore.schedules.families import combinators as made_of
from optcore.schedules.families import cyclic as wave_specs
from optcore.schedules.families import decays as decay_specs
from optcore.schedules.families import piecewise as stair_specs
from optcore.schedules.numerics import recursion
from optcore.schedules.numerics.numbers import DOUBLE, Curve, Numbers
from optcore.spec.duration import Epochs, steps_in


@dataclass(frozen=True)
class Run:
    """
    What a schedule is put into.

    Attributes:
        lr: what it starts from.
        total_steps: how long it has; what durations left out mean.
        steps_per_epoch: what durations in epochs are multiplied by.
    """

    lr: float
    total_steps: int
    steps_per_epoch: int

    def steps(self, duration: int | Epochs | None) -> int:
        """Return *duration* in steps, at least 1; None is the whole run."""
        if duration is None:
            return self.total_steps
        return max(1, steps_in(duration, self.steps_per_epoch))


def curve_of(spec: ScheduleSpec, run: Run) -> Curve:
    """Return the curve of a *spec* that keeps no state, behind its warmup."""
    return behind_warmup(BUILDERS[type(spec)](spec, run), spec, run)


def behind_warmup(curve: Curve, spec: ScheduleSpec, run: Run) -> Curve:
    """Return *curve* behind the warmup of *spec*, if it has one."""
    if spec.warmup is None:
        return curve
    return warmup(
        curve,
        length=steps_in(spec.warmup.length, run.steps_per_epoch),
        start=spec.warmup.start,
        after=spec.warmup.after or spec.AFTER,
        total_steps=run.total_steps,
        shape=spec.warmup.shape,
        end=spec.warmup.end,
        numbers=numbers_of(spec),
    )


def numbers_of(spec: ScheduleSpec) -> Numbers:
    """Return what *spec* is computed in."""
    if not isinstance(spec, Dialectal):
        return DOUBLE
    single = spec.precision == "float32"
    return Numbers(
        single=single,
        rounded=spec.dialect == "tf1" and not single,
        folds=spec.dialect == "mindspore",
        reciprocals=spec.dialect == "tf1" and single,
    )


def _end(spec: fall_specs.Fall) -> dict[str, Any]:
    return {"end": spec.end, "end_fraction": spec.end_fraction}


def _absolute_end(spec: fall_specs.Fall, lr: float) -> float:
    return spec.end if spec.end_fraction is None else lr * spec.end_fraction


def _constant(spec: stair_specs.Constant, run: Run) -> Curve:
    length = None if spec.length is None else run.steps(spec.length)
    make = recursion.constant if spec.recursive else stairs.constant
    numbers = {} if spec.recursive else {"numbers": numbers_of(spec)}
    return make(lr=run.lr, factor=spec.factor, length=length, **numbers)


def _step(spec: stair_specs.Step, run: Run) -> Curve:
    make = recursion.step if spec.recursive else stairs.step
    return make(lr=run.lr, every=run.steps(spec.every), gamma=spec.gamma)


def _multi_step(spec: stair_specs.MultiStep, run: Run) -> Curve:
    milestones = [steps_in(m, run.steps_per_epoch) for m in spec.milestones]
    make = recursion.multi_step if spec.recursive else stairs.multi_step
    return make(lr=run.lr, milestones=milestones, gamma=spec.gamma)


def _piecewise(spec: stair_specs.Piecewise, run: Run) -> Curve:
    return stairs.piecewise(
        boundaries=[steps_in(b, run.steps_per_epoch) for b in spec.boundaries],
        values=spec.values,
        at_boundary=spec.at_boundary,
        numbers=numbers_of(spec),
    )


def _multiplicative(spec: stair_specs.Multiplicative, run: Run) -> Curve:
    make = recursion.multiplicative if spec.recursive else stairs.multiplicative
    return make(lr=run.lr, factors=spec.factors)


def _values(spec: stair_specs.Values, run: Run) -> Curve:
    factor = run.lr if spec.relative else 1.0
    return stairs.values(values=[factor * value for value in spec.values])


def _cosine(spec: fall_specs.Cosine, run: Run) -> Curve:
    length = run.steps(spec.length)
    if spec.recursive and spec.past_end == "rise":
        return recursion.cosine(lr=run.lr, length=length, end=_absolute_end(spec, run.lr))
    return falls.cosine(
        lr=run.lr, length=length, past_end=spec.past_end, numbers=numbers_of(spec), **_end(spec)
    )


def _linear(spec: fall_specs.Linear, run: Run) -> Curve:
    length = run.steps(spec.length)
    if spec.recursive:
        end = _absolute_end(spec, run.lr) / run.lr
        factor = spec.end_fraction if spec.end_fraction is not None else end
        return recursion.linear(
            lr=run.lr, length=length, start_factor=spec.start_fraction, end_factor=factor
        )
    return falls.linear(lr=run.lr, length=length, start_fraction=spec.start_fraction, **_end(spec))


def _polynomial(spec: fall_specs.Polynomial, run: Run) -> Curve:
    length = run.steps(spec.length)
    if spec.recursive and _absolute_end(spec, run.lr) == 0 and not spec.cycle:
        return recursion.polynomial(lr=run.lr, length=length, power=spec.power)
    return falls.polynomial(
        lr=run.lr,
        length=length,
        power=spec.power,
        cycle=spec.cycle,
        numbers=numbers_of(spec),
        **_end(spec),
    )


def _tanh(spec: fall_specs.Tanh, run: Run) -> Curve:
    return falls.tanh(
        lr=run.lr,
        length=run.steps(spec.length),
        lower=spec.lower,
        upper=spec.upper,
        **_end(spec),
    )


def _rex(spec: fall_specs.Rex, run: Run) -> Curve:
    return falls.rex(lr=run.lr, length=run.steps(spec.length), **_end(spec))


def _wsd(spec: fall_specs.WarmupStableDecay, run: Run) -> Curve:
    return falls.warmup_stable_decay(
        lr=run.lr,
        length=run.steps(spec.length),
        decay=run.steps(spec.decay),
        shape=spec.shape,
        **_end(spec),
    )


def _exponential(spec: decay_specs.Exponential, run: Run) -> Curve:
    every = run.steps(spec.every)
    if spec.recursive and every == 1:
        return recursion.exponential(lr=run.lr, rate=spec.rate)
    return decays.exponential(
        lr=run.lr,
        rate=spec.rate,
        every=every,
        staircase=spec.staircase,
        numbers=numbers_of(spec),
    )


def _natural_exponential(spec: decay_specs.NaturalExponential, run: Run) -> Curve:
    return decays.natural_exponential(
        lr=run.lr,
        rate=spec.rate,
        every=run.steps(spec.every),
        staircase=spec.staircase,
        form=spec.dialect if spec.dialect in ("mindspore", "tf1") else "plain",
        numbers=numbers_of(spec),
    )


def _inverse_time(spec: decay_specs.InverseTime, run: Run) -> Curve:
    return decays.inverse_time(
        lr=run.lr,
        rate=spec.rate,
        every=run.steps(spec.every),
        staircase=spec.staircase,
        numbers=numbers_of(spec),
    )


def _noam(spec: decay_specs.Noam, run: Run) -> Curve:
    return decays.noam(lr=run.lr, d_model=spec.d_model, warmup_steps=run.steps(spec.warmup_steps))


def _inverse_sqrt(spec: decay_specs.InverseSqrt, run: Run) -> Curve:
    return decays.inverse_sqrt(lr=run.lr, timescale=run.steps(spec.timescale))


def _cosine_restarts(spec: wave_specs.CosineRestarts, run: Run) -> Curve:
    return cosines.cosine_restarts(
        lr=run.lr,
        length=run.steps(spec.length),
        t_mul=spec.t_mul,
        m_mul=spec.m_mul,
        edges=spec.edges,
        numbers=numbers_of(spec),
        **_end(spec),
    )


def _cyclical_cosine(spec: wave_specs.CyclicalCosine, run: Run) -> Curve:
    return cosines.cosine_restarts(lr=run.lr, length=run.steps(spec.length), **_end(spec))


def _two_step_cosine(spec: wave_specs.TwoStepCosine, run: Run) -> Curve:
    return cosines.two_step_cosine(
        lr=run.lr,
        first=run.steps(spec.first),
        length=run.steps(spec.length),
        after_first=spec.after_first,
        past_end=spec.past_end,
        **_end(spec),
    )


def _linear_cosine(spec: wave_specs.UnderALine, run: Run) -> Curve:
    noise: dict[str, Any] = {}
    if isinstance(spec, wave_specs.NoisyLinearCosine):
        noise = {
            "initial_variance": spec.initial_variance,
            "variance_decay": spec.variance_decay,
            "seed": spec.seed,
        }
    return cosines.linear_cosine(
        lr=run.lr,
        length=run.steps(spec.length),
        num_periods=spec.num_periods,
        alpha=spec.alpha,
        beta=spec.beta,
        numbers=numbers_of(spec),
        **noise,
    )


def _one_cycle(spec: wave_specs.OneCycle, run: Run) -> Curve:
    start = run.lr / spec.div_factor if spec.start is None else spec.start
    return waves.one_cycle(
        lr=run.lr,
        length=run.steps(spec.length),
        pct_start=spec.pct_start,
        start=start,
        end=start / spec.final_div_factor if spec.end is None else spec.end,
        shape=spec.shape,
        three_phase=spec.three_phase,
        past_end=spec.past_end,
    )


def _cyclic(spec: wave_specs.Cyclic, run: Run) -> Curve:
    up = run.steps(spec.up)
    return waves.cyclic(
        lr=run.lr,
        base=spec.base,
        up=up,
        down=up if spec.down is None else run.steps(spec.down),
        mode=spec.mode,
        gamma=spec.gamma,
        scales=spec.scales or (1.0,),
        scale_per=spec.scale_per,
        numbers=numbers_of(spec),
    )


def _chain(spec: made_of.Chain, run: Run) -> Curve:
    lengths = spec.lengths(total_steps=run.total_steps, steps_per_epoch=run.steps_per_epoch)
    parts = [
        curve_of(part, Run(run.lr, length, run.steps_per_epoch))
        for part, length in zip(spec.schedules, lengths, strict=True)
    ]
    return combinators.chain(parts, boundaries=[run.steps(b) for b in spec.boundaries])


def _inner(spec: made_of.Around, run: Run) -> Curve:
    total, per_epoch = spec.inner(total_steps=run.total_steps, steps_per_epoch=run.steps_per_epoch)
    return curve_of(spec.schedule, Run(run.lr, total, per_epoch))


def _cycle(spec: made_of.Cycle, run: Run) -> Curve:
    length = run.steps(spec.length)
    return combinators.cycle(_inner(spec, run), length=length, factor=spec.factor)


def _scale(spec: made_of.Scaled, run: Run) -> Curve:
    return combinators.scale(_inner(spec, run), factor=spec.factor)


def _product(spec: made_of.Product, run: Run) -> Curve:
    return combinators.product([curve_of(part, run) for part in spec.schedules], lr=run.lr)


def _clamp(spec: made_of.Clamp, run: Run) -> Curve:
    return combinators.clamp(_inner(spec, run), low=spec.min, high=spec.max)


def _noise(spec: made_of.Noise, run: Run) -> Curve:
    return combinators.noise(
        _inner(spec, run),
        std=spec.std,
        limit=spec.limit,
        seed=spec.seed,
        begin=0 if spec.begin is None else run.steps(spec.begin),
    )


def _per_epoch(spec: made_of.PerEpoch, run: Run) -> Curve:
    return combinators.per_epoch(_inner(spec, run), steps_per_epoch=run.steps_per_epoch)


def _shift(spec: made_of.Shift, run: Run) -> Curve:
    return combinators.shift(_inner(spec, run), by=run.steps(spec.by))


BUILDERS: Mapping[type[ScheduleSpec], Callable[[Any, Run], Curve]] = {
    stair_specs.Constant: _constant,
    stair_specs.Step: _step,
    stair_specs.MultiStep: _multi_step,
    stair_specs.Piecewise: _piecewise,
    stair_specs.Multiplicative: _multiplicative,
    stair_specs.Values: _values,
    fall_specs.Cosine: _cosine,
    fall_specs.Linear: _linear,
    fall_specs.Polynomial: _polynomial,
    fall_specs.Tanh: _tanh,
    fall_specs.Rex: _rex,
    fall_specs.WarmupStableDecay: _wsd,
    decay_specs.Exponential: _exponential,
    decay_specs.NaturalExponential: _natural_exponential,
    decay_specs.InverseTime: _inverse_time,
    decay_specs.Noam: _noam,
    decay_specs.InverseSqrt: _inverse_sqrt,
    wave_specs.CosineRestarts: _cosine_restarts,
    wave_specs.CyclicalCosine: _cyclical_cosine,
    wave_specs.TwoStepCosine: _two_step_cosine,
    wave_specs.LinearCosine: _linear_cosine,
    wave_specs.NoisyLinearCosine: _linear_cosine,
    wave_specs.OneCycle: _one_cycle,
    wave_specs.Cyclic: _cyclic,
    made_of.Chain: _chain,
    made_of.Cycle: _cycle,
    made_of.Scaled: _scale,
    made_of.Product: _product,
    made_of.Clamp: _clamp,
    made_of.Noise: _noise,
    made_of.PerEpoch: _per_epoch,
    made_of.Shift: _shift,
}
