"""What the gallery says of other frameworks: each claim has a trajectory that was recorded."""

from __future__ import annotations

import inspect
import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from optcore.schedules.catalogue import SCHEDULES
from optcore.schedules.warmup import Warmup
from tests.support.optcore.recorded_schedules import recorded

TRIALS = Path(__file__).parents[3] / "trials"
CLASSES: Mapping[str, type] = {"warmup": Warmup, **SCHEDULES}
"""Sections of the gallery."""
SOURCES = {"paddlepaddle": "Paddle", "tensorflow": "TF", "keras": "Keras", "fairseq's": "fairseq"}
"""Names of frameworks in sources of cases that the gallery spells otherwise."""
FAMILIES = {
    "paddle": "Paddle",
    "paddleocr": "PaddleOCR",
    "mindspore": "MindSpore",
    "keras": "Keras",
    "tf1": "TF",
}
FRAMEWORKS = (
    *("torch", "Paddle", "PaddleOCR", "PaddleClas", "MindSpore", "TF", "Keras"),
    *("transformers", "optax", "timm", "fairseq", "YOLOv5"),
)

# Section of the gallery, words of its references, and the cases that prove them: an id in
# tests/golden/schedules_*.json or tests/trials/*.json, or a beginning of ids that ends with . or -.
# The claims of other sections are single classes, whose cases the test at the end finds.
CLAIMS = [
    ("warmup", "Paddle 3.3.1 LinearWarmup", "paddle.LinearWarmup."),
    ("warmup", "Paddle 3.3.1 LinearWarmup", "paddle-linear-warmup-"),
    ("warmup", "Keras 3.15.1 CosineDecay(warmup_target)", "keras.CosineDecay.1"),
    ("warmup", "Keras 3.15.1 CosineDecay(warmup_target)", "keras-warmup-"),
    ("warmup", "torch 2.13 SequentialLR", "torch-sequential-of-a-"),
    ("warmup", "torch 2.13 SequentialLR", "torch-warmup-as-long-as-the-run"),
    ("warmup", "overlap: timm 1.0.31", "timm.CosineLRScheduler.1"),
    ("warmup", "overlap: timm 1.0.31", "timm-warmup-overlaps"),
    ("warmup", "compress: transformers 5.24", "transformers.get_cosine_schedule_with_warmup.1"),
    ("warmup", "compress: transformers 5.24", "transformers-warmup-compresses"),
    (
        "warmup",
        "optax 0.2.8 warmup_cosine_decay_schedule",
        "optax.warmup_cosine_decay_schedule.0.",
    ),
    ("warmup", "optax 0.2.8 warmup_cosine_decay_schedule", "optax-warmup-cosine"),
    (
        "warmup",
        "one_minus_sqrt: transformers 5.24 get_wsd_schedule",
        "transformers-wsd-rises-1-sqrt",
    ),
    ("warmup", "toward curve: the warmup of Ultralytics YOLOv5", "yolov5-"),
    ("multiplicative", "torch 2.13 MultiplicativeLR", "torch.MultiplicativeLR."),
    ("multiplicative", "Paddle 3.3.1 MultiplicativeDecay", "paddle.MultiplicativeDecay."),
    ("values", "torch 2.13 LambdaLR", "torch.LambdaLR."),
    ("values", "Paddle 3.3.1 LambdaDecay", "paddle.LambdaDecay."),
    ("values", "MindSpore 2.10 experimental.LambdaLR", "mindspore.experimental.LambdaLR."),
    ("plateau", "torch 2.13 ReduceLROnPlateau", "torch.ReduceLROnPlateau."),
    ("plateau", "Paddle 3.3.1 ReduceOnPlateau", "paddle.ReduceOnPlateau."),
    (
        "plateau",
        "transformers 5.24 get_reduce_on_plateau_schedule",
        "transformers.get_reduce_on_plateau_schedule.",
    ),
    ("plateau", "optax 0.2.8 contrib.reduce_on_plateau", "optax.contrib.reduce_on_plateau."),
    ("plateau", "timm 1.0.31 PlateauLRScheduler", "timm.PlateauLRScheduler."),
    ("greedy", "transformers GreedyLR", "transformers.get_greedy_schedule."),
    ("chain", "torch 2.13 SequentialLR", "torch.SequentialLR."),
    ("chain", "torch 2.13 SequentialLR", "torch-sequential-of-four"),
    ("chain", "optax 0.2.8 join_schedules", "optax.join_schedules."),
    ("chain", "optax 0.2.8 join_schedules", "optax-joined-"),
    ("cycle", "timm 1.0.31 cycle_mul", "timm.CosineLRScheduler.3"),
    ("cycle", "timm 1.0.31 cycle_mul", "timm.TanhLRScheduler.4"),
    ("cycle", "timm 1.0.31 cycle_mul", "timm.PolyLRScheduler.4"),
    ("cycle", "timm 1.0.31 cycle_mul", "timm-cycles-of-"),
    ("cycle", "optax 0.2.8 sgdr_schedule", "optax-sgdr-"),
    ("product", "torch 2.13 ChainedScheduler", "torch.ChainedScheduler."),
    ("product", "torch 2.13 ChainedScheduler", "cosine-linear-"),
    ("noise", "timm 1.0.31 lr_noise", "timm.CosineLRScheduler.10"),
    ("noise", "timm 1.0.31 lr_noise", "noise-of-timm"),
    ("noise", "timm 1.0.31 lr_noise", "timm-uniform-noise"),
    ("noise", "timm 1.0.31 lr_noise", "timm-normal-noise-"),
    ("per_epoch", "MindSpore 2.10 dynamic_lr lists", "mindspore.exponential_decay_lr."),
    (
        "per_epoch",
        "every scheduler whose step() is called once per epoch",
        "torch-one-cycle-stepped-once-an-epoch",
    ),
    (
        "per_epoch",
        "every scheduler whose step() is called once per epoch",
        "torch-stairs-stepped-once-an-epoch",
    ),
    (
        "per_epoch",
        "every scheduler whose step() is called once per epoch",
        "paddle-step-stepped-once-an-epoch",
    ),
    (
        "per_epoch",
        "every scheduler whose step() is called once per epoch",
        "paddle-cosine-stepped-once-an-epoch",
    ),
    (
        "per_batch",
        "torch 2.13 schedulers whose step() is called after every batch",
        "torch-cosine-stepped-after-every-batch",
    ),
    (
        "per_batch",
        "torch 2.13 schedulers whose step() is called after every batch",
        "torch-lambda-stepped-after-every-batch",
    ),
    ("shift", "Paddle 3.3.1 last_epoch", "paddle-last-epoch-"),
    ("step", "Step of PaddleOCR and PaddleClas", "paddleclas-step"),
    ("inverse_sqrt", "fairseq inverse_sqrt", "fairseq-inverse-sqrt"),
]
WITHOUT = ("scale", "clamp")
"""Combinators of which the gallery says nothing about a framework."""


class Case(NamedTuple):
    id: str
    framework: str
    kinds: frozenset[str]
    """The kinds in its spec, and ``warmup``."""
    claim: str = ""


def cases() -> Iterator[Case]:
    for one in recorded():
        found = frozenset(kinds(one.translate().spec))
        yield Case(one.case["id"], FAMILIES.get(one.framework, one.framework), found)
    for path in sorted(TRIALS.glob("*.json")):
        for case in json.loads(path.read_text()):
            found = frozenset(kinds(case["spec"]))
            for name in frameworks(case["source"]):
                yield Case(case["id"], name, found, case.get("claim", ""))


def frameworks(text: str) -> list[str]:
    for ours, theirs in SOURCES.items():
        text = text.replace(ours, theirs)
    return [name for name in FRAMEWORKS if re.search(rf"\b{name}\b", text)]


def kinds(spec: dict[str, Any]) -> Iterator[str]:
    yield spec["kind"]
    if spec.get("warmup"):
        yield "warmup"
    inside = [spec["schedule"]] if "schedule" in spec else []
    for part in [*inside, *spec.get("schedules", [])]:
        yield from kinds(part)


def are_named(identity: str, by: str) -> bool:
    return identity.startswith(by) if by.endswith((".", "-")) else identity == by


def references(kind: str) -> str:
    return " ".join((inspect.getdoc(CLASSES[kind]) or "").partition("References:")[2].split())


ALL = list(cases())
pytestmark = pytest.mark.skipif(
    "GOLDEN_DIR" in os.environ, reason="the table names the cases of tests/golden"
)


@pytest.mark.parametrize(("kind", "words", "prefix"), CLAIMS)
def test_a_claim_has_recorded_cases_of_its_kind(kind: str, words: str, prefix: str) -> None:
    found = [case for case in ALL if are_named(case.id, prefix)]

    assert words in references(kind)
    assert found
    assert all(kind in case.kinds for case in found)


def test_every_case_that_names_a_claim_is_in_the_table() -> None:
    named = {(case.id, case.claim) for case in ALL if case.claim}

    listed = {
        (case.id, f"{kind}: {words}")
        for kind, words, prefix in CLAIMS
        for case in ALL
        if case.claim and are_named(case.id, prefix)
    }

    assert named == listed


@pytest.mark.parametrize("kind", CLASSES)
def test_every_framework_that_a_section_names_has_a_case(kind: str) -> None:
    named = set(frameworks(references(kind)))

    assert named <= {case.framework for case in ALL if kind in case.kinds}
    assert not named or kind not in WITHOUT
