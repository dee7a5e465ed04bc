"""Frozen parameters: the numbers of torch with ``requires_grad=False``, and no work for them."""

from __future__ import annotations

import copy
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.flop_counter import FlopCounterMode

from optcore.training.loop import train
from optcore.training.run import Run
from optcore.training.steps.passes import backward, loss_of
from tests.support.optcore.runs import resume_cases
from tests.support.optcore.runs.continuing import finish
from tests.support.optcore.runs.frozen import NETWORK, Json, tied
from tests.support.optcore.runs.small import column, start, steps

ADAMW: Json = {
    "kind": "adamw",
    "lr": 0.01,
    "weight_decay": 0.1,
    "clip": {"kind": "global_norm", "max": 0.05},
}
RUN: Json = {
    "model": NETWORK,
    "optimizer": ADAMW,
    "schedule": {"kind": "constant"},
    "precision": "fp64",
    "ema": {"decay": 0.7, "copy_first": True},
    "columns": ["grad_norm", "update_ratio"],
    "frozen": ["backbone.*"],
}


def plain(like: Run, *globs: str, fixed: tuple[str, ...] = ()) -> tuple[nn.Module, Json]:
    """Return a network trained by torch as *like* is, and what the loop saw."""
    net = copy.deepcopy(like.model)
    seen: Json = {"loss": [], "grad_norm": [], "update_ratio": []}
    for name, param in net.named_parameters():
        param.requires_grad_(not any(fnmatch(name, glob) for glob in globs))
    net.train()
    for path in fixed:
        net.get_submodule(path).eval()
    trained = [param for param in net.parameters() if param.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.01, weight_decay=0.1)
    seen["ema"] = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.7), use_buffers=True)
    for _ in range(like.total_steps):
        inputs, targets = like.batches.next()
        loss = F.cross_entropy(net(inputs), targets)
        optimizer.zero_grad()
        loss.backward()
        before = [param.detach().clone() for param in trained]
        seen["loss"].append(loss.item())
        seen["grad_norm"].append(nn.utils.clip_grad_norm_(trained, 0.05).item())
        optimizer.step()
        moved = nn.utils.get_total_norm(
            [p.detach() - b for p, b in zip(trained, before, strict=True)]
        )
        seen["update_ratio"].append((moved / nn.utils.get_total_norm(before)).item())
        seen["ema"].update_parameters(net)
    return net, seen


@pytest.mark.parametrize("globs", [["backbone.*"], ["hidden.*", "*.bias"], ["*norm.*", "head.*"]])
def test_the_numbers_are_those_of_a_plain_torch_loop(globs: list[str]) -> None:
    ours = start(**{**RUN, "frozen": globs})
    net, seen = plain(start(**{**RUN, "frozen": globs}), *globs)

    reports = steps(ours)

    def same(found: Any, wanted: Any) -> None:
        torch.testing.assert_close(found, wanted, rtol=1e-10, atol=1e-12)

    same([report.loss for report in reports], seen["loss"])
    for name in ("grad_norm", "update_ratio"):
        same(column(ours, reports, name), seen[name])
    same(ours.model_tensors(), dict(net.state_dict()))
    assert ours.ema is not None
    with ours.ema.in_place():
        averaged, wanted = ours.model_tensors(), seen["ema"].module.state_dict()
        # torch averages the numbers of batches too.
        same(averaged, {**wanted, **{n: averaged[n] for n in wanted if n.endswith("_tracked")}})


def test_frozen_parameters_stay_as_they_are_and_are_no_state() -> None:
    ours = start(**{**RUN, "lookahead": {"every": 2}})
    before = {name: p.detach().clone() for name, p in ours.model.named_parameters()}

    steps(ours)

    after = dict(ours.model.named_parameters())
    frozen = {name for name in after if name.startswith("backbone.")}
    assert {name for name in after if torch.equal(after[name], before[name])} == frozen
    assert all(after[name].grad is None for name in frozen)
    others = [name for name in ours.tensors() if not name.startswith("model.")]
    assert {name.partition(".")[0] for name in others} == {"optimizer", "ema", "lookahead"}
    assert not [name for name in others if any(name.endswith(f".{each}") for each in frozen)]
    assert [p for group in ours.optimizer.param_groups for p in group["params"]] == [
        param for name, param in after.items() if name not in frozen
    ]


@pytest.mark.parametrize("layers", [["backbone"], ["backbone", "hidden", "norm"]])
def test_backward_computes_nothing_before_the_first_trained_parameter(layers: list[str]) -> None:
    frozen = [f"{layer}.*" for layer in layers]

    ours, all_trained = operations(frozen), operations([])

    forward, only_first = ours["forward"], all_trained["forward"]
    assert forward == only_first
    # A linear layer takes as much for the gradient of its weight as for its output, and the first
    # trained one nothing for that of its input.
    last = 2 * 100 * 16 * 10
    hidden = 2 * 100 * 4 * 3 * 3 * 16
    assert ours["backward"] == (last if "hidden" in layers else 2 * last + hidden)
    assert all_trained["backward"] > 2 * last + 2 * hidden


def operations(frozen: list[str]) -> dict[str, int]:
    ours = start(model=NETWORK, frozen=frozen)
    inputs, targets = ours.batches.next()
    found = {}
    with FlopCounterMode(display=False) as counter:
        loss = loss_of(ours, inputs, targets, micro=0)
    found["forward"] = counter.get_total_flops()
    with FlopCounterMode(display=False) as counter:
        backward(ours, loss)
    return {**found, "backward": counter.get_total_flops()}


STATISTICS = ("backbone.norm.running_mean", "backbone.norm.running_var")


@pytest.mark.parametrize("fixed", [False, True])
def test_statistics_of_a_frozen_norm_move_unless_they_are_frozen_too(fixed: bool) -> None:
    """As in torch, where ``requires_grad`` does not concern buffers, and ``eval()`` does."""
    fields = {**RUN, "frozen_statistics": fixed}
    ours, paths = start(**fields), ("backbone.norm",) if fixed else ()
    before = ours.model_tensors()
    before = {name: before[name].clone() for name in before}
    net, seen = plain(start(**fields), "backbone.*", fixed=paths)

    found = [report.loss for report in steps(ours)]

    torch.testing.assert_close(found, seen["loss"], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(ours.model_tensors(), dict(net.state_dict()), rtol=1e-10, atol=1e-12)
    after = ours.model_tensors()
    assert all(torch.equal(after[name], before[name]) is fixed for name in STATISTICS)
    assert not torch.equal(after["norm.running_mean"], before["norm.running_mean"])


@pytest.mark.parametrize("statistics", ["average", "copy", "recompute"])
def test_frozen_statistics_are_those_of_every_average_too(statistics: str) -> None:
    ours = start(
        model=NETWORK,
        frozen=["backbone.*"],
        frozen_statistics=True,
        ema={"kind": "swa", "every": 1, "begin": 2, "statistics": statistics},
        evaluate_every=5,
        validation=0.1,
    )
    before = {name: ours.model_tensors()[name].clone() for name in STATISTICS}

    for _ in train(ours):
        pass

    assert ours.ema is not None
    for name in STATISTICS:
        assert torch.equal(ours.ema.tensors[name], before[name])
        assert torch.equal(ours.model_tensors()[name], before[name])
    assert not torch.equal(ours.ema.tensors["norm.running_mean"], torch.zeros(16))


@pytest.mark.parametrize(
    "fields",
    [
        {"optimizer": {"kind": "lbfgs", "lr": 0.1}},
        {"optimizer": {"kind": "muon", "lr": 0.01}},
        {"optimizer": {"kind": "sgd", "lr": 0.1}, "accumulate": 3},
        {"ema": {"kind": "keras", "decay": 0.5}},
        {"precision": "bf16"},
        {"precision": "fp16"},
        {"optimizer": {**ADAMW, "multi_precision": True}, "precision": "bf16_true"},
        {"on_divergence": "skip"},
        {"optimizer": {"kind": "adam", "engine": "eager"}},
    ],
    ids=str,
)
def test_every_kind_of_run_leaves_frozen_parameters_alone(fields: Json) -> None:
    ours = start(
        **{
            "model": NETWORK,
            "frozen": ["backbone.*", "head.bias"],
            "schedule": {"kind": "constant"},
            **fields,
        }
    )
    before = {name: p.detach().clone() for name, p in ours.model.named_parameters()}

    steps(ours)

    params = dict(ours.model.named_parameters())
    frozen = {"backbone.conv.weight", "backbone.norm.weight", "backbone.norm.bias", "head.bias"}
    assert {name for name, param in params.items() if param.grad is None} == frozen
    assert {name for name in params if torch.equal(params[name], before[name])} == frozen


def test_a_shared_parameter_is_frozen_by_its_own_name() -> None:
    spec = tied(frozen=["first.weight"])
    ours = start(model=spec["model"], frozen=["first.weight"])
    before = ours.model.get_parameter("first.weight").detach().clone()

    steps(ours)

    assert torch.equal(ours.model.get_parameter("again.weight"), before)
    assert [name for group in ours.spec.groups() for name in group.names] == [
        *("first.bias", "again.bias", "head.weight", "head.bias"),
    ]


def test_a_resumed_run_has_the_same_bits(tmp_path: Path) -> None:
    """In a process of its own, from within an epoch or an accumulation."""
    average = {"ema": {"decay": 0.9, "statistics": "recompute"}}
    cases: dict[str, Json] = {
        "frozen": {"frozen": ["0.*", "1.*"], "lookahead": {"every": 2}},
        "frozen statistics": {"frozen": ["1.*"], "frozen_statistics": True, **average},
    }
    specs = {name: resume_cases.spec_of("adam", **fields) for name, fields in cases.items()}

    found = resume_cases.continued(specs, tmp_path)

    for name, spec in specs.items():
        undisturbed = finish(resume_cases.started(spec))
        assert found[name]["before"] + found[name]["rows"] == undisturbed["rows"]
        assert found[name]["digest"] == undisturbed["digest"]
    torch.use_deterministic_algorithms(False)
