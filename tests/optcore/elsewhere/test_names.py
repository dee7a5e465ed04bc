"""The table of names from other libraries: each leads to a word that exists."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import pytest
import torch
from torch.optim import lr_scheduler

from optcore.schedules.catalogue import SCHEDULES
from optcore.schedules.warmup import Warmup
from optcore.spec.base import Spec
from optcore.spec.datasets.catalogue import AnyDataset
from optcore.spec.elsewhere import fields, layers, lookup, optimizers, schedules, words
from optcore.spec.elsewhere.table import Answer, Answers, simplified
from optcore.spec.evaluation import EarlyStopping
from optcore.spec.groups.groups import Group
from optcore.spec.layers.catalogue import LAYERS
from optcore.spec.loss_scale import DynamicLossScale, FixedLossScale
from optcore.spec.models.catalogue import AnyModel
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optcore.spec.optimizers.clip import ClipGlobalNorm, ClipNorm, ClipValue
from optcore.spec.run import RunSpec
from optcore.spec.tasks.losses import CrossEntropy
from optcore.spec.training import Training
from optcore.spec.weights import KerasEma, Lookahead, ShadowEma, Swa
from tests.support.optcore import foreign_names

OTHERS: list[type[Spec]] = [
    *(
        Warmup,
        EarlyStopping,
        Group,
        CrossEntropy,
        Training,
        RunSpec,
        Lookahead,
        ShadowEma,
        Swa,
        KerasEma,
    ),
    *(KerasEma, DynamicLossScale, FixedLossScale, ClipGlobalNorm, ClipNorm, ClipValue),
    *get_args(get_args(AnyDataset)[0]),
    *get_args(get_args(AnyModel)[0]),
    *LAYERS.values(),
]
CLASSES: list[type[Spec]] = [*SCHEDULES.values(), *OPTIMIZERS.values(), *OTHERS]
FIELDS = {name for cls in CLASSES for name in cls.model_fields}
NO_WORD = {"optimizer", "steps_per_epoch", "params"}
"""Arguments of torch that a spec has no field for: objects, and what follows from the data."""


def named(tables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for framework, text in tables.items():
        yield from ((framework, name) for name in text.split())


def literals() -> set[object]:
    """Return all values that a field of any class may take by name."""
    found: set[object] = set()

    def visit(annotation: Any) -> None:
        found.update(value for value in get_args(annotation) if isinstance(value, str))
        for part in get_args(annotation):
            visit(part)

    for cls in CLASSES:
        for field in cls.model_fields.values():
            visit(field.annotation)
    found |= {"val_loss", "val_accuracy", "train_loss"}  # any metric of the validation examples
    return found | {"mse", "l1", "huber", "bce", "nll", "ctc", "cross_entropy", "norm", "value"}


@pytest.mark.parametrize(
    ("table", "kinds"),
    [
        (schedules.SCHEDULES, SCHEDULES),
        (optimizers.OPTIMIZERS, OPTIMIZERS),
        (layers.LAYERS, LAYERS),
    ],
    ids=["schedules", "optimizers", "layers"],
)
def test_a_class_elsewhere_leads_to_a_kind_or_to_a_field(
    table: Mapping[str, Answers], kinds: Mapping[str, Any]
) -> None:
    for name, answers in table.items():
        assert len(answers) == 1, name
        assert answers[0].is_path or answers[0].word in kinds, name
        # A name that is our own for another kind would hide that kind.
        assert name not in {simplified(kind) for kind in kinds} - {simplified(answers[0].word)}


def test_an_argument_elsewhere_leads_to_a_field() -> None:
    tables = (fields.FIELDS, layers.LAYER_FIELDS)
    words = {a.word for table in tables for answers in table.values() for a in answers}
    words |= {word for special in fields.BY_KIND.values() for word in special.values()}

    assert {word for word in words if "." not in word} - FIELDS == set()


def test_a_value_elsewhere_leads_to_a_value() -> None:
    found = {answer.word for answers in words.WORDS.values() for answer in answers}

    assert found - literals() == set()


def test_every_path_in_the_table_is_a_path_of_a_run() -> None:
    run = RunSpec.parse(
        {
            "model": {"kind": "mlp"},
            "dataset": {"kind": "digits"},
            "optimizer": {"kind": "adam"},
            "schedule": {"kind": "cosine"},
            "training": {"steps": 1},
        }
    )
    tables = lookup.TABLES
    paths = {a.word for table in tables for answers in table.values() for a in answers if a.is_path}

    for path in paths:
        part, name = path.split(".")
        assert name in type(getattr(run, part)).model_fields, path


def test_every_argument_in_the_table_is_answered_somewhere() -> None:
    """No line of the table is hidden by those before it wherever its field exists."""
    unanswered = []
    for name, answers in [*fields.FIELDS.items(), *layers.LAYER_FIELDS.items()]:
        known = [
            [*cls.model_fields] for cls in CLASSES if name not in map(simplified, cls.model_fields)
        ]
        told = {lookup.our_word(name, each) for each in known}
        unanswered += [(name, a.word) for a in answers if not told & {a, Answer(a.word)}]

    assert unanswered == []


@pytest.mark.parametrize(("framework", "name"), [*named(foreign_names.SCHEDULES)])
def test_schedules_of_other_libraries_are_answered(framework: str, name: str) -> None:
    assert lookup.our_word(name, list(SCHEDULES)) is not None


@pytest.mark.parametrize(("framework", "name"), [*named(foreign_names.OPTIMIZERS)])
def test_optimizers_of_other_libraries_are_answered(framework: str, name: str) -> None:
    assert lookup.our_word(name, list(OPTIMIZERS)) is not None


@pytest.mark.parametrize(("framework", "name"), [*named(foreign_names.ARGUMENTS)])
def test_arguments_of_other_libraries_are_fields_or_answered(framework: str, name: str) -> None:
    assert simplified(name) in {*map(simplified, FIELDS), *fields.FIELDS}


def torchs(module: Any, base: type) -> list[type]:
    found = [each for each in vars(module).values() if inspect.isclass(each)]
    return [
        each
        for each in found
        if issubclass(each, base) and each is not base and not each.__name__.startswith("_")
    ]


@pytest.mark.parametrize(
    ("cls", "kinds"),
    [
        *((cls, [*OPTIMIZERS]) for cls in torchs(torch.optim, torch.optim.Optimizer)),
        *((cls, [*SCHEDULES]) for cls in torchs(lr_scheduler, lr_scheduler.LRScheduler)),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_the_installed_torch_has_no_class_and_argument_that_is_not_answered(
    cls: type, kinds: list[str]
) -> None:
    arguments = set(inspect.signature(cls).parameters) - NO_WORD

    assert lookup.our_word(cls.__name__, kinds) is not None
    assert {a for a in arguments if a not in FIELDS and simplified(a) not in fields.FIELDS} == set()


@pytest.mark.parametrize("kind", [*SCHEDULES, *OPTIMIZERS])
def test_the_documentation_and_the_table_name_the_same_kind(kind: str) -> None:
    """What the page of a kind says it is elsewhere leads to this kind."""
    both: dict[str, type[Spec]] = {**SCHEDULES, **OPTIMIZERS}
    doc = both[kind].__doc__ or ""
    kinds = [*(SCHEDULES if kind in SCHEDULES else OPTIMIZERS)]
    table = schedules.SCHEDULES if kind in SCHEDULES else optimizers.OPTIMIZERS
    named = set(re.findall(r"[A-Za-z_][A-Za-z0-9_]+", doc.partition("References:")[2]))

    for name in named:
        answers = table.get(simplified(name), ())
        if not answers or simplified(name) in AMBIGUOUS.get(kind, ()):
            continue
        told = lookup.our_word(name, kinds)
        assert told is not None
        assert told.word == kind or "." in told.word, f"{name} leads to {told}, not to {kind}"


AMBIGUOUS = {
    "cosine": {"sgdr"},
    "adamw": {"adamweightdecay"},
    "nesterov": {"momentumoptimizer"},
    "cycle": {"tanhlrscheduler", "polylrscheduler", "cosinelrscheduler"},
    "rmsprop": {"rmsproptf"},
    "wsd": {"rsqrt"},
}
"""Names on the page of a kind that lead to another one, since they are more often that."""
