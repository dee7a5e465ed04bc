"""Autocast, loss scales, and steps that are skipped."""

import math
from typing import Any

import pytest
import torch

from optcore.schedules.make import make_schedule
from optcore.spec.errors import SpecError
from optcore.spec.loss_scale import DynamicLossScale
from optcore.training.precision import MAX_OVERFLOWS, Scaler
from optcore.training.reports import Diverged
from tests.support.optcore.runs.small import column, evaluations, spec_of, start, steps


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_autocast_computes_in_less_and_keeps_everything_in_float32(precision: str) -> None:
    whole = steps(start())
    run = start(precision=precision)

    less = steps(run)

    assert {tensor.dtype for tensor in run.tensors().values()} == {torch.float32}
    for ours, theirs in zip(less, whole, strict=True):
        assert ours.loss != theirs.loss
        assert ours.loss == pytest.approx(theirs.loss, rel=0.01)


@pytest.mark.parametrize(("name", "dtype"), [("bf16_true", "bfloat16"), ("fp16_true", "float16")])
def test_true_precisions_are_those_of_the_parameters(name: str, dtype: str) -> None:
    run = start(precision=name)

    steps(run)

    assert {str(t.dtype) for t in run.model_tensors().values()} == {f"torch.{dtype}"}


def test_bitsandbytes_updates_float16_parameters_in_float32() -> None:
    optimizer = {"kind": "adamw", "dialect": "bitsandbytes", "state_bits": 8, "eps": 1e-8}

    assert spec_of(precision="fp16_true", optimizer=optimizer).optimizer.in_float32


@pytest.mark.parametrize("kind", ["momentum", "adam", "lamb"])
def test_a_loss_scale_that_is_a_power_of_two_changes_no_bit(kind: str) -> None:
    optimizer = {"kind": kind, "lr": 0.01, "clip": {"kind": "global_norm", "max": 0.1}}

    plain = steps(start(optimizer=optimizer))
    scaled = steps(start(optimizer=optimizer, loss_scale={"kind": "fixed", "scale": 1024.0}))

    assert [(r.lr, r.loss) for r in plain] == [(r.lr, r.loss) for r in scaled]


def test_a_dynamic_scale_moves_as_torchs_does() -> None:
    ours = Scaler(DynamicLossScale(kind="dynamic", start=2.0**10, window=3), "torch")
    theirs = torch.amp.GradScaler("cpu", init_scale=2.0**10, growth_interval=3)
    weight = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([weight], lr=0.0)

    for finite in [True] * 7 + [False, True, False, False] + [True] * 10:
        weight.grad = torch.full((2,), 1.0 if finite else math.inf)
        theirs.scale(torch.ones(()))
        theirs.step(optimizer)
        theirs.update()
        ours.update(finite=finite)

        assert ours.scale == theirs.get_scale()


@pytest.mark.parametrize(
    ("dialect", "start"), [("torch", 2.0**16), ("paddle", 2.0**16), ("keras", 2.0**15)]
)
def test_the_first_scale_is_that_of_the_dialect(dialect: Any, start: float) -> None:
    spec = spec_of(precision="fp16", optimizer={"kind": "adam", "dialect": dialect})

    assert spec.loss_scale == DynamicLossScale(kind="dynamic")
    assert Scaler(spec.loss_scale, dialect).scale == start
    assert Scaler(spec.loss_scale, "mindspore").scale == 2.0**24


def test_mindspores_scale_does_not_fall_below_one() -> None:
    spec = DynamicLossScale(kind="dynamic", start=4.0)
    scalers = [Scaler(spec, "mindspore"), Scaler(spec, "torch")]

    for scaler in scalers:
        for _ in range(5):
            scaler.update(finite=False)

    assert [scaler.scale for scaler in scalers] == [1.0, 0.125]


def test_a_skipped_step_is_a_row_and_moves_neither_t_nor_the_schedule() -> None:
    run = start(
        precision="fp16",
        loss_scale={"kind": "dynamic", "start": 2.0**40},
        columns=["loss_scale", "update_ratio"],
        steps=40,
    )
    before = {name: tensor.clone() for name, tensor in run.model_tensors().items()}

    reports = steps(run)

    t, scales = column(run, reports, "t"), column(run, reports, "loss_scale")
    skipped = [i for i in range(39) if t[i + 1] == t[i]]
    assert 5 < len(skipped) < 35
    assert [scales[i + 1] / scales[i] for i in skipped] == [0.5] * len(skipped)
    assert [column(run, reports, "update_ratio")[i] for i in skipped] == [0.0] * len(skipped)
    schedule = make_schedule({"kind": "linear"}, lr=0.1, total_steps=40)
    assert [report.lr for report in reports] == [float(schedule(int(i))) for i in t]
    assert run.row == 40
    assert run.t == 40 - len(skipped)
    assert any(not torch.equal(before[n], tensor) for n, tensor in run.model_tensors().items())


def test_a_fixed_scale_that_drops_no_overflow_lets_it_through() -> None:
    scale = {"kind": "fixed", "scale": 2.0**40}
    dropping = start(precision="fp16", loss_scale=scale)
    assert column(dropping, steps(dropping), "t") == [0.0] * 12

    with pytest.raises(Diverged, match="loss must be finite, got nan at step 1"):
        steps(start(precision="fp16", loss_scale={**scale, "drop_overflow": False}))


@pytest.mark.parametrize(
    ("dialect", "scale"),
    [
        ("torch", {"kind": "dynamic"}),
        ("mindspore", {"kind": "dynamic"}),
        ("torch", {"kind": "fixed"}),
    ],
)
def test_gradients_that_no_scale_makes_finite_are_a_divergence(dialect: str, scale: Any) -> None:
    run = start(loss_scale=scale, steps=1000, optimizer={"kind": "sgd", "dialect": dialect})
    for param in run.model.parameters():
        param.register_hook(lambda grad: grad * math.inf)

    with pytest.raises(Diverged) as caught:
        steps(run)

    assert str(caught.value) == (
        f"gradient must be finite, but was not in {MAX_OVERFLOWS} steps in a row at step 199"
    )


def test_a_scale_does_not_grow_beyond_float32() -> None:
    ours = Scaler(DynamicLossScale(kind="dynamic", start=2.0**126, window=1), "torch")

    for _ in range(3):
        ours.update(finite=True)

    assert ours.scale == 2.0**127


def test_a_dynamic_scale_may_start_at_1() -> None:
    scale = {"kind": "dynamic", "start": 1.0, "window": 2}
    run = start(loss_scale=scale, columns=["loss_scale"])

    reports = steps(run)

    assert column(run, reports, "loss_scale") == [2.0 ** (i // 2) for i in range(12)]
    # Powers of two: the bits are those of a run without a scale.
    assert [report.loss for report in reports] == [report.loss for report in steps(start())]


def test_a_loss_that_is_not_finite_says_nothing_about_the_scale() -> None:
    run = start(on_divergence="skip", loss_scale={"kind": "dynamic"}, columns=["loss_scale"])
    run.dataset.train.inputs[5] = math.nan

    reports = steps(run)

    assert sum(math.isnan(report.loss) for report in reports) == 1
    assert set(column(run, reports, "loss_scale")) == {65536.0}


def test_a_skipped_batch_leaves_no_trace_in_the_statistics() -> None:
    model = {
        "kind": "sequential",
        "layers": [
            {"kind": "flatten"},
            {"kind": "linear", "out_features": 12},
            {"kind": "batch_norm"},
            {"kind": "linear", "out_features": 10},
        ],
    }
    run = start(model=model, on_divergence="skip", ema={"decay": 0.9}, accumulate=2, steps=7)
    run.dataset.train.inputs[5] = math.nan

    reports = steps(run)

    assert sum(math.isnan(report.loss) for report in reports) == 1
    assert run.is_finite()
    assert all(tensor.isfinite().all() for tensor in run.tensors().values())


def test_the_gradient_of_float16_is_measured_in_float32() -> None:
    """Its norm is beyond float16 while every element is within: it must not clip to nothing."""

    def ratios(scale: float) -> list[float]:
        run = start(
            precision="fp16_true",
            optimizer={
                **{"kind": "sgd", "lr": 0.1, "multi_precision": True},
                "clip": {"kind": "global_norm", "max": 0.01},
            },
            loss_scale={"kind": "dynamic", "start": scale},
            columns=["grad_norm", "update_ratio"],
            steps=3,
        )
        reports = steps(run)
        assert all(math.isfinite(norm) for norm in column(run, reports, "grad_norm"))
        return column(run, reports, "update_ratio")

    small, large = ratios(8.0), ratios(2.0**17)

    assert large == pytest.approx(small, rel=0.02)
    assert min(large) > 0


def test_losses_of_float16_are_summed_in_float64() -> None:
    run = start(precision="fp16_true", loss={"kind": "mse"}, steps=1)
    with torch.no_grad():
        for param in run.model.parameters():
            param.mul_(30)

    (found,) = evaluations(run)

    assert 1000 < found.metric("test_loss") < math.inf  # times 297 examples it is beyond float16


def test_a_loss_above_the_limit_ends_the_run_or_is_skipped() -> None:
    with pytest.raises(Diverged, match=r"^loss must be at most 2\.0, got 2\.3\d+ at step 0$"):
        steps(start(loss_limit=2.0))

    run = start(loss_limit=2.0, on_divergence="skip")
    reports = steps(run)

    assert (run.row, run.t) == (12, 0)
    assert {report.lr for report in reports} == {0.1}


def test_a_loss_that_is_not_finite_may_be_skipped() -> None:
    run = start(on_divergence="skip")
    run.dataset.train.inputs[5] = math.nan

    reports = steps(run)

    bad = [report.step for report in reports if math.isnan(report.loss)]
    assert len(bad) == 1
    assert run.t == 11
    assert run.is_finite()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"loss_scale": {"kind": "dynamic", "start": 0.5}},
            "training.loss_scale.start: start must be at least 1, got 0.5",
        ),
        (
            {"precision": "bf16", "optimizer": {"kind": "lbfgs"}, "schedule": {"kind": "constant"}},
            "training.precision: precision must be fp32 or fp64 for lbfgs, which evaluates the "
            "loss several times per step, got bf16",
        ),
        (
            {
                "ema": {"kind": "keras"},
                "optimizer": {"kind": "lbfgs"},
                "schedule": {"kind": "constant"},
            },
            "training.ema.kind: kind must be shadow or swa for lbfgs, which does not maintain an "
            "average, got keras",
        ),
        (
            {"ema": {"kind": "kera"}},
            "training.ema.kind: kind must be one of shadow, swa, keras, got 'kera'; "
            "did you mean 'keras'?",
        ),
        (
            {"ema": {"ramp": 100.0, "warmup": True}},
            "training.ema.ramp: ramp must be null with warmup, got 100",
        ),
        (
            {"ema": {"decay": 1.0}},
            "training.ema.decay: decay must be below 1, got 1.0",
        ),
        (
            {"ema": {"kind": "keras", "warmup": True}},
            "training.ema.warmup: unknown field 'warmup'; did you mean schedule.warmup? "
            "(known: kind, decay, overwrite_every)",
        ),
        (
            {"ema": 0.99},
            "training.ema: ema must be an object, got 0.99",
        ),
        (
            {"precision": "fp16_true", "optimizer": {"kind": "adam"}},
            "optimizer.eps: eps must be at least 6e-08 for float16 parameters, got 1e-08: float16 "
            "rounds it to 0; with multi_precision eps may be smaller",
        ),
        (
            {"precision": "fp16_true", "optimizer": {"kind": "adam", "eps": 2.0**-25}},
            "optimizer.eps: eps must be at least 6e-08 for float16 parameters, got "
            "2.9802322387695312e-08: float16 rounds it to 0; with multi_precision eps may be "
            "smaller",
        ),
        (
            {"lookahead": {}, "optimizer": {"kind": "schedule_free_adamw"}},
            "training.lookahead: lookahead must be null with schedule_free_adamw, which keeps "
            "weights of its own",
        ),
        (
            {"lookahead": {}, "ema": {"kind": "keras"}},
            "training.lookahead: lookahead must be null with an ema of kind keras: lookahead "
            "would not set the average",
        ),
        (
            {"precision": "bf17"},
            "training.precision: precision must be one of fp32, fp64, bf16, fp16, bf16_true, "
            "fp16_true, mindspore_o1, mindspore_o2, mindspore_o3, got 'bf17'; did you mean 'bf16'?",
        ),
    ],
)
def test_precisions_that_cannot_be_are_named(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(SpecError) as caught:
        spec_of(**changes)

    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("eps", "rounds_to_zero"),
    [(2.0**-25, True), (2.0**-25 * (1 + 2.0**-30), True), (2.0**-25 * (1 + 2.0**-23), False)],
)
def test_an_eps_is_refused_exactly_where_float16_rounds_it_to_0(
    eps: float, rounds_to_zero: bool
) -> None:
    """2**-25 is as far from 0 as from the next number, 2**-24, and 0 is even."""
    spec = {"precision": "fp16_true", "optimizer": {"kind": "adam", "eps": eps}}

    added = torch.zeros(1, dtype=torch.float16).add_(eps).item()

    assert (added == 0) == rounds_to_zero
    if rounds_to_zero:
        with pytest.raises(SpecError, match="eps must be at least 6e-08"):
            spec_of(**spec)
    else:
        spec_of(**spec)
