"""What a step draws is a function of the run's seed, the step, the batch and the layer."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from optcore.files.files import Files
from optcore.networks.layers.dropout import Dropout
from optcore.spec.former.runs import is_former
from optcore.spec.former.translation import former_rules
from optcore.training.checkpoints import checkpoint
from optcore.training.checkpoints.tensor_digest import digest
from optcore.training.fingerprint import fingerprint
from optcore.training.levels import forward_of
from optcore.training.loop import train
from optcore.training.reports import Progress, StepReport
from optcore.training.run import Run
from optcore.training.steps.ahead import reported, step_ahead
from tests.support.optcore.runs.small import start, steps

DROPPING: dict[str, Any] = {
    "kind": "sequential",
    "layers": [
        {"kind": "flatten"},
        {"kind": "dropout", "name": "first", "p": 0.2},
        {"kind": "linear", "out_features": 64},
        {"kind": "relu"},
        {"kind": "dropout", "name": "second", "p": 0.5},
        {"kind": "linear", "out_features": 10},
    ],
}


@contextmanager
def masks(run: Run) -> Iterator[list[tuple[int, Tensor]]]:
    """Record the elements that each dropout of *run* sets to 0 in training, with the row."""
    seen: list[tuple[int, Tensor]] = []

    def look(module: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        if module.training:
            seen.append((run.row, ((output == 0) & (inputs[0] != 0)).detach()))

    hooks = [m.register_forward_hook(look) for m in run.model.modules() if isinstance(m, Dropout)]
    assert hooks
    yield seen
    for hook in hooks:
        hook.remove()


def disturb() -> None:
    """Draw from every global generator."""
    torch.rand(random.randrange(1, 99))
    np.random.rand(3)


def test_a_run_does_not_depend_on_what_else_is_drawn() -> None:
    wanted = start(model=DROPPING)
    rows = steps(wanted)
    run, found = start(model=DROPPING), []

    for report in train(run):
        disturb()
        found += [report] if isinstance(report, StepReport) else []

    assert found == rows
    assert digest(run.tensors()) == digest(wanted.tensors())


@pytest.mark.parametrize("accumulate", [1, 3])
def test_it_resumes_at_any_point_without_the_states_of_generators(
    accumulate: int, tmp_path: Path
) -> None:
    run = start(model=DROPPING, accumulate=accumulate)
    files = Files(tmp_path)
    saved, rows = [checkpoint.save(run, files, "0")], []
    for i, report in enumerate(train(run), 1):
        rows += [report] if isinstance(report, StepReport) else []
        if run.settled:
            saved.append(checkpoint.save(run, files, str(i)))
    assert len(saved) > 12 * accumulate

    for each in saved:
        resumed = start(model=DROPPING, accumulate=accumulate)
        facts = checkpoint.restore(resumed, files, each.path)
        disturb()

        assert steps(resumed) == rows[each.step :]
        assert digest(resumed.tensors()) == digest(run.tensors())
        assert "generators" not in facts
        assert facts["facts"]["draws"] == "keyed"


def test_every_layer_batch_and_step_has_a_mask_of_its_own() -> None:
    run = start(model=DROPPING, accumulate=2)
    other = start(model=DROPPING, accumulate=2, seed=4)

    with masks(run) as seen, masks(other) as others:
        steps(run)
        steps(other)

    # Masks of the second dropout, on 64 features: of 100 examples, or fewer at the end of a pass.
    found = [mask for _, mask in [*seen, *others] if mask.shape == (100, 64)]
    assert len({row for row, _ in seen}) == 12
    assert len({mask.numpy().tobytes() for mask in found}) == len(found) > 30


def test_the_evaluations_of_a_search_share_a_mask_and_the_next_step_has_another() -> None:
    run = start(
        model=DROPPING,
        optimizer={"kind": "lbfgs", "lr": 0.1, "max_iter": 4},
        schedule={"kind": "constant"},
        steps=3,
    )
    # The first dropout: the batch is the same in each evaluation, and so are its zeros.
    drawn: dict[int, list[bytes]] = {}

    with masks(run) as seen:
        steps(run)

    for row, mask in seen[::2]:
        drawn.setdefault(row, []).append(mask.numpy().tobytes())
    assert [len(each) > 2 for each in drawn.values()] == [True] * 3
    assert [len(set(each)) for each in drawn.values()] == [1, 1, 1]
    assert len({each[0] for each in drawn.values()}) == 3


def test_a_skipped_step_is_followed_by_another_mask() -> None:
    run = start(model=DROPPING, on_divergence="skip", loss_limit=1e-3)

    with masks(run) as seen:
        steps(run)

    assert run.t == 0
    second = [mask.numpy().tobytes() for _, mask in seen if mask.shape == (100, 64)][1::2]
    assert len(set(second)) == len(second) > 5


@pytest.mark.parametrize("accumulate", [1, 3])
def test_steps_made_ahead_draw_the_same(accumulate: int) -> None:
    wanted = start(model=DROPPING, accumulate=accumulate, evaluate_every=None)
    rows = steps(wanted)
    run = start(model=DROPPING, accumulate=accumulate, evaluate_every=None)

    made = [step_ahead(run) for _ in range(12)]

    assert [report.loss for report in reported(run, made)] == [report.loss for report in rows]
    assert digest(run.tensors()) == digest(wanted.tensors())


def test_another_number_of_threads_draws_the_same() -> None:
    threads = torch.get_num_threads()
    run, other = start(model=DROPPING), start(model=DROPPING)

    with masks(run) as seen:
        steps(run)
    torch.set_num_threads(threads + 1)
    try:
        with masks(other) as others:
            steps(other)
    finally:
        torch.set_num_threads(threads)

    pairs = list(zip(seen[::2], others[::2], strict=True))  # whose input is the batch itself
    assert len(pairs) == 12
    assert all(torch.equal(mask, again) for (_, mask), (_, again) in pairs)


IMAGES: dict[str, Any] = {
    "kind": "sequential",
    "layers": [
        {"kind": "conv2d", "out_channels": 4, "kernel_size": 3},
        {"kind": "dropout", "p": 0.3},
        {"kind": "flatten"},
        {"kind": "linear", "out_features": 10},
    ],
}
LBFGS: dict[str, Any] = {
    "optimizer": {"kind": "lbfgs", "lr": 0.1, "max_iter": 3},
    "schedule": {"kind": "constant"},
}
FORMER: dict[str, dict[str, Any]] = {
    "vectors": {"model": DROPPING},
    "images": {"model": IMAGES},
    "accumulation": {"model": DROPPING, "accumulate": 2},
    "lbfgs": {"model": DROPPING, **LBFGS},
}


def former(**changes: Any) -> Run:
    """Return a run of 0.2.0 at its first step."""
    with former_rules():
        return start(**changes)


def with_torchs_dropout(run: Run) -> Run:
    """Return *run* with torch's own dropout, as 0.2.0 built it."""
    assert isinstance(run.model, nn.Sequential)
    for name, module in list(run.model.named_children()):
        if isinstance(module, Dropout):
            setattr(run.model, name, nn.Dropout(module.p))
    run.forward = forward_of(run.model, run.spec.training.precision)
    return run


@pytest.mark.parametrize("name", FORMER)
def test_a_run_of_0_2_0_draws_from_torchs_generator_and_resumes(name: str, tmp_path: Path) -> None:
    """Its checkpoint has no fact ``draws``, and the states of generators."""
    whole = with_torchs_dropout(former(**FORMER[name]))
    rows = steps(whole)
    left, first = former(**FORMER[name]), []
    for report in train(left):
        first += [report] if isinstance(report, StepReport) else []
        if len(first) == 7:
            break
    saved = checkpoint.save(left, Files(tmp_path))

    for resumed in (former(**FORMER[name]), start(**FORMER[name])):
        disturb()
        facts = checkpoint.restore(resumed, Files(tmp_path), saved.path)

        assert first + steps(resumed) == rows
        assert digest(resumed.tensors()) == digest(whole.tensors())
        assert "draws" not in facts["facts"]
        assert "generators" in facts


def test_a_run_of_0_2_0_whose_search_is_interrupted_draws_the_same_again() -> None:
    wanted = steps(former(**FORMER["lbfgs"]))
    run, found = former(**FORMER["lbfgs"]), []

    for i, report in enumerate(train(run)):
        if isinstance(report, StepReport):
            found.append(report)
        if i == 3:
            run.interrupt.set()
        elif isinstance(report, Progress):
            run.interrupt.clear()

    assert found == wanted


@pytest.mark.parametrize("model", [{"kind": "mlp"}, DROPPING])
def test_a_checkpoint_has_the_states_of_generators_if_0_2_0_may_resume_it(
    model: dict[str, Any], tmp_path: Path
) -> None:
    run = start(model=model)

    saved = checkpoint.save(run, Files(tmp_path))

    names = load_file(tmp_path / saved.path / "state.safetensors")
    assert any(name.startswith("generator.") for name in names) == (model is not DROPPING)
    assert is_former(run.spec) == (model is not DROPPING)


def test_what_draws_is_a_fact_of_runs_that_draw_alone() -> None:
    plain = start(model={"kind": "mlp"})
    never = start(model={"kind": "sequential", "layers": [FLAT, {**DROP, "p": 0.0}, LAST]})
    drawing = start(model=DROPPING)

    assert drawing.facts()["draws"] == "keyed"
    assert all("draws" not in run.facts() for run in (plain, never, former(model=DROPPING)))
    assert fingerprint(drawing.facts()) == fingerprint(plain.facts())
    assert is_former(plain.spec)
    assert is_former(never.spec)
    assert not is_former(drawing.spec)


FLAT, DROP, LAST = DROPPING["layers"][0], DROPPING["layers"][1], DROPPING["layers"][-1]
