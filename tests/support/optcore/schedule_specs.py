"""Random specs of every schedule there is."""

from typing import Any

from hypothesis import assume
from hypothesis import strategies as st
from pydantic import TypeAdapter

import optcore
from optcore.schedules.base import ScheduleSpec
from optcore.schedules.catalogue import SCHEDULES, AnySchedule

TOTAL, EPOCH = 48, 4
"""Steps of the run the specs are for, and of an epoch."""
MAY_GO_BELOW_ZERO = {"one_cycle", "noisy_linear_cosine", "cosine_restarts"}
"""The last where its end lies above lr and m_mul is above 1: the distance between them grows."""

Specs = st.SearchStrategy[dict[str, Any]]
STEPS = st.integers(1, 60)
DURATION = st.one_of(STEPS, st.builds(lambda e: {"epochs": e}, st.floats(1, 10)))
RATE = st.floats(0, 10)
FACTOR = st.floats(0.01, 1.2)


def fields(required: dict[str, Any] | None = None, **optional: Any) -> Specs:
    return st.fixed_dictionaries(required or {}, optional=optional)


def increasing(least: int) -> st.SearchStrategy[list[int]]:
    steps = st.lists(st.integers(least, 60), min_size=1, max_size=5, unique=True)
    return steps.map(sorted)


PIECES = increasing(1).flatmap(
    lambda edges: st.fixed_dictionaries(
        {
            "boundaries": st.just(edges),
            "values": st.lists(RATE, min_size=len(edges) + 1, max_size=len(edges) + 1),
        }
    )
)
ENDS = st.one_of(
    fields(length=DURATION, end=RATE), fields(length=DURATION, end_fraction=st.floats(0, 1))
)


def annealing(required: dict[str, Any] | None = None, **optional: Any) -> Specs:
    return st.builds(lambda a, b: {**a, **b}, ENDS, fields(required, **optional))


DECAY = {"every": DURATION, "staircase": st.booleans()}
LINE: dict[str, Any] = {
    "length": DURATION,
    "num_periods": st.floats(0, 5),
    "alpha": st.floats(0, 1),
    "beta": st.floats(0, 1),
}
BEGIN = st.integers(0, 20)
METRIC: dict[str, Any] = {
    "metric": st.sampled_from(["val_loss", "val_accuracy"]),
    "patience": st.integers(0, 5),
}
ONE_CYCLE = fields(
    {"pct_start": st.floats(0.1, 0.45)},
    div_factor=st.floats(1.1, 50),
    start=st.floats(0.001, 10),
    end=RATE,
    shape=st.sampled_from(["cosine", "linear"]),
    three_phase=st.booleans(),
)

SIMPLE: dict[str, Specs] = {
    "constant": fields(factor=st.floats(0, 1), length=DURATION),
    "piecewise": PIECES,
    "step": fields({"every": DURATION}, gamma=FACTOR),
    "multi_step": fields({"milestones": increasing(0)}, gamma=FACTOR),
    "multiplicative": fields({"factors": st.lists(FACTOR, min_size=1, max_size=60)}),
    "values": fields(
        {"values": st.lists(RATE, min_size=TOTAL, max_size=TOTAL)}, relative=st.booleans()
    ),
    "cosine": annealing(
        past_end=st.sampled_from(["hold", "rise"]),
        num_cycles=st.floats(0.1, 5),
        exponent=st.floats(0.1, 3),
    ),
    "linear": annealing(start_fraction=st.floats(0.01, 1), begin=BEGIN),
    "polynomial": annealing(power=st.floats(0.1, 5), cycle=st.booleans(), begin=BEGIN),
    "tanh": annealing(lower=st.floats(-9, -1), upper=st.floats(0, 5)),
    "rex": annealing(),
    "wsd": fields(
        {"decay": st.integers(1, 4)},
        shape=st.sampled_from(["linear", "cosine", "one_minus_sqrt", "one_minus_square"]),
        end=RATE,
    ),
    "exponential": fields({"rate": FACTOR}, begin=BEGIN, end=RATE, **DECAY),
    "natural_exponential": fields({"rate": st.floats(0, 2)}, **DECAY),
    "inverse_time": fields({"rate": st.floats(0, 2)}, **DECAY),
    "noam": fields({"d_model": st.integers(1, 1024), "warmup_steps": DURATION}),
    "inverse_sqrt": fields(timescale=DURATION),
    "cosine_restarts": fields(
        {"length": DURATION}, t_mul=st.floats(1, 3), m_mul=st.floats(0, 1.2), end=RATE
    ),
    "cyclical_cosine": fields({"length": DURATION}, end=RATE),
    "two_step_cosine": annealing({"first": DURATION}),
    "linear_cosine": fields(None, **LINE),
    "noisy_linear_cosine": fields(None, seed=st.integers(0, 9), **LINE),
    "one_cycle": ONE_CYCLE,
    "cyclic": fields(
        {"base": RATE},
        up=DURATION,
        down=DURATION,
        mode=st.sampled_from(["triangular", "triangular2", "exp_range"]),
        gamma=st.floats(0.5, 1),
    ),
    "plateau": fields(
        None,
        factor=st.floats(0.1, 0.9),
        threshold_abs=st.floats(0, 0.1),
        mean_of=st.integers(1, 3),
        **METRIC,
    ),
    "greedy": fields(None, factor=st.floats(0.1, 0.9), **METRIC),
}
STATEFUL = {"plateau", "greedy"}
NONE: Specs = st.just({})
CYCLES = fields({"num_cycles": st.floats(0.3, 9)})
K_DECAY = fields(k_decay=st.floats(0.1, 3))
BETWEEN = fields(None, interpolation=st.sampled_from(["none", "linear", "cosine"]))
OF_SOME_DIALECTS: dict[tuple[str, str], Specs] = {
    ("cosine_restarts", "transformers"): CYCLES,
    ("cosine_restarts", "plain"): st.one_of(NONE, CYCLES),
    ("piecewise", "plain"): BETWEEN,
    ("piecewise", "paddle"): BETWEEN,
    ("piecewise", "optax"): BETWEEN,
    ("cosine", "plain"): K_DECAY,
    ("cosine", "timm"): K_DECAY,
    ("wsd", "transformers"): fields(None, decay=st.integers(0, 60)),
    ("wsd", "timm"): fields(
        {"stable_power": st.floats(0.1, 2), "timescale": DURATION},
        shape=st.sampled_from(["power", "exponential"]),
    ),
}
"""Fields that not every dialect of a schedule has, or that not every dialect can do without."""


@st.composite
def simple(draw: st.DrawFn, *, stateful: bool) -> dict[str, Any]:
    kinds = [kind for kind in SIMPLE if stateful or kind not in STATEFUL]
    kind = draw(st.sampled_from(kinds))
    dialects = getattr(SCHEDULES[kind], "DIALECTS", ())
    dialect = draw(st.sampled_from(["plain", *dialects]))
    spec = {"kind": kind, **draw(SIMPLE[kind]), **draw(OF_SOME_DIALECTS.get((kind, dialect), NONE))}
    if "num_cycles" in spec and kind == "cosine_restarts":
        spec = {name: value for name, value in spec.items() if name != "t_mul"}
    return spec if dialect == "plain" else {**spec, "dialect": dialect}


def modified(inner: Specs) -> Specs:
    return st.one_of(*(modifier(kind, fields, inner) for kind, fields in MODIFIERS.items()))


def modifier(kind: str, fields: Specs, inner: Specs) -> Specs:
    # A list must have one value per step, which those inside have not.
    fitting = inner.filter(lambda part: "values" not in str(part))
    if kind in ("per_epoch", "per_batch"):
        fitting = fitting.filter(lambda part: "per_batch" not in kinds(part))
    return st.builds(lambda a, b: {"kind": kind, "schedule": a, **b}, fitting, fields)


MODIFIERS: dict[str, Specs] = {
    "cycle": fields(
        {"length": st.integers(12, 30)},
        factor=FACTOR,
        t_mul=st.floats(1, 3),
        floor=st.floats(0, 1e-7),
        cycles=st.integers(1, 3),
        dialect=st.sampled_from(["plain", "timm"]),
    ),
    "scale": fields({"factor": st.floats(0, 2)}),
    "clamp": fields(min=st.floats(0, 0.1), max=st.floats(0.2, 1)),
    "noise": fields(
        {"std": st.floats(0, 1)},
        seed=st.integers(0, 2**40),
        begin=DURATION,
        dialect=st.sampled_from(["plain", "timm"]),
    ),
    "per_epoch": fields(),
    "per_batch": fields({"accumulate": st.just(3)}, batches_per_epoch=st.sampled_from([10, 12])),
    "shift": fields({"by": st.integers(1, 20)}),
}
COMBINATORS = {"chain", "product"}
SPECS = {*SIMPLE, *MODIFIERS, *COMBINATORS}


def combined(inner: Specs) -> Specs:
    fitting = inner.filter(lambda part: not {"values", "one_cycle"} & kinds(part))
    return st.one_of(
        modified(inner.filter(lambda part: "one_cycle" not in kinds(part))),
        st.builds(
            lambda a, b, at: {"kind": "chain", "schedules": [a, b], "boundaries": [at]},
            fitting,
            fitting,
            st.integers(12, 30),
        ),
        st.builds(lambda a, b: {"kind": "product", "schedules": [a, b]}, fitting, fitting),
    )


def kinds(spec: dict[str, Any]) -> set[str]:
    return set(str(spec).replace("'", " ").split())


@st.composite
def schedules(draw: st.DrawFn, *, stateful: bool = True, warmups: bool = True) -> dict[str, Any]:
    inner = st.recursive(simple(stateful=False), combined, max_leaves=3)
    spec: dict[str, Any] = draw(st.one_of(simple(stateful=stateful), inner))
    if warmups and draw(st.booleans()):
        warmup = draw(WARMUP)
        length = spec.get("length")
        if spec.get("dialect") in ("transformers", "optax") and isinstance(length, int):
            # There the warmup is a part of the schedule's own length.
            assume(warmup["length"] < length)
        spec = {**spec, "warmup": warmup}
    return spec


SHAPES = ["linear", "cosine", "exponential", "sqrt", "square", "one_minus_sqrt", "one_minus_square"]
STARTS = st.one_of(
    fields({"start": st.floats(0.001, 1)}), fields({"start_fraction": st.floats(0.001, 2)})
)
TO_A_PEAK = fields(
    {"length": st.integers(1, 10)},
    after=st.sampled_from(["delay", "overlap", "compress"]),
    shape=st.sampled_from([*SHAPES, "constant"]),
    end=RATE,
)
TO_A_CURVE = fields(
    {"length": st.integers(1, 10), "after": st.just("overlap"), "toward": st.just("curve")},
    shape=st.sampled_from(SHAPES),
)
WARMUP = st.builds(lambda a, b: {**a, **b}, STARTS, st.one_of(TO_A_PEAK, TO_A_CURVE))


def made(spec: dict[str, Any], lr: float) -> Any:
    return optcore.make_schedule(spec, lr=lr, total_steps=TOTAL, steps_per_epoch=EPOCH)


_parser: TypeAdapter[ScheduleSpec] = TypeAdapter(AnySchedule)


def fixed(spec: dict[str, Any]) -> ScheduleSpec:
    return _parser.validate_python(spec)
