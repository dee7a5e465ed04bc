"""
Routes of the catalogue; the responses are made from the same specs that validate jobs.

The first response of a route takes up to a second to compute. So the routes are plain functions,
which FastAPI runs in threads.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from pydantic.fields import FieldInfo

from api.http.problems import documented
from optcore.metrics.catalogue import metrics
from optcore.packages.entry_points import package_of
from optcore.schedules.catalogue import SCHEDULES
from optcore.spec.base import Spec, dialects_of, field_docs
from optcore.spec.datasets.catalogue import DATASETS
from optcore.spec.evaluation import choosing_names
from optcore.spec.layers.catalogue import LAYERS
from optcore.spec.models.catalogue import MODELS
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optcore.spec.tasks.tasks import TASKS
from optserve.contract.answers.base import Page
from optserve.contract.answers.catalogue import CatalogueEntry, CatalogueField
from optserve.contract.answers.evaluations import EvaluationMetric
from store.errors import NameNotFound

router = APIRouter(prefix="/v1", tags=["catalogue"])

NOUNS: dict[str, Mapping[str, type[Spec]]] = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "model": MODELS,
    "layer": LAYERS,
    "dataset": DATASETS,
}


@router.get("/optimizers")
def list_optimizers() -> Page[CatalogueEntry]:
    """Return all optimizers."""
    return _page("optimizer")


@router.get("/optimizers/{name}", responses=documented(NameNotFound))
def read_optimizer(name: str) -> CatalogueEntry:
    """Return an optimizer: its formula, references, and hyperparameters with their defaults."""
    return _entry("optimizer", name)


@router.get("/schedules")
def list_schedules() -> Page[CatalogueEntry]:
    """Return all schedules."""
    return _page("schedule")


@router.get("/schedules/{name}", responses=documented(NameNotFound))
def read_schedule(name: str) -> CatalogueEntry:
    """Return a schedule: its formula, references and fields."""
    return _entry("schedule", name)


@router.get("/models")
def list_models() -> Page[CatalogueEntry]:
    """Return all models."""
    return _page("model")


@router.get("/models/{name}", responses=documented(NameNotFound))
def read_model(name: str) -> CatalogueEntry:
    """Return a model and its fields."""
    return _entry("model", name)


@router.get("/layers")
def list_layers() -> Page[CatalogueEntry]:
    """Return all layers and blocks of which a network can be made."""
    return _page("layer")


@router.get("/layers/{name}", responses=documented(NameNotFound))
def read_layer(name: str) -> CatalogueEntry:
    """Return a layer or block, and its fields with their defaults."""
    return _entry("layer", name)


@router.get("/datasets")
def list_datasets() -> Page[CatalogueEntry]:
    """Return all datasets."""
    return _page("dataset")


@router.get("/datasets/{name}", responses=documented(NameNotFound))
def read_dataset(name: str) -> CatalogueEntry:
    """Return a dataset and its fields."""
    return _entry("dataset", name)


@router.get("/evaluation-metrics")
def list_evaluation_metrics() -> Page[EvaluationMetric]:
    """Return all metrics of evaluations, also those that installed packages add."""
    return Page(data=[_metric(name) for name in metrics()], has_more=False, next=None)


@router.get("/evaluation-metrics/{name}", responses=documented(NameNotFound))
def read_evaluation_metric(name: str) -> EvaluationMetric:
    """
    Return a metric of evaluations: its description, and whether its value is a number.

    In a spec, the name of a metric includes its split, as in `val_accuracy`. In the response,
    `chooses` lists the names by which a job can choose its best step or end early.
    """
    if name not in metrics():
        raise NameNotFound("evaluation metric", name, metrics())
    return _metric(name)


def _metric(name: str) -> EvaluationMetric:
    metric = metrics()[name]
    description = inspect.getdoc(metric) or ""
    return EvaluationMetric(
        name=name,
        summary=_summary(description),
        description=description,
        package=_package(metric),
        tasks=[task for task in TASKS if task in metric.TASKS],
        higher_is_better=metric.HIGHER_IS_BETTER,
        on_request=metric.ON_REQUEST,
        is_number=metric.IS_NUMBER,
        chooses=choosing_names(name) if metric.IS_NUMBER else [],
    )


def _page(noun: str) -> Page[CatalogueEntry]:
    return Page(data=[_entry(noun, name) for name in NOUNS[noun]], has_more=False, next=None)


def _entry(noun: str, name: str) -> CatalogueEntry:
    specs = NOUNS[noun]
    if name not in specs:
        raise NameNotFound(noun, name, specs)
    return _described(noun, name)


@functools.cache  # a schedule that holds others takes 50 ms to describe
def _described(noun: str, name: str) -> CatalogueEntry:
    spec = NOUNS[noun][name]
    description = inspect.getdoc(spec) or ""
    schema = _schema(spec)
    return CatalogueEntry(
        object=noun,
        name=name,
        summary=_summary(description),
        description=description,
        package=_package(spec),
        fields=[_field(spec, field, schema) for field in spec.model_fields],
        json_schema=schema,
    )


def _package(each: type) -> str | None:
    package = package_of(each)
    return None if package is None else str(package)


def _summary(description: str) -> str:
    """Return the first paragraph of *description* as one line."""
    return description.partition("\n\n")[0].replace("\n", " ")


ANY_SCHEDULE: dict[str, Any] = {
    "type": "object",
    "required": ["kind"],
    "description": "A schedule, as /v1/schedules/{kind} describes it.",
}
"""Stands for a nested schedule's schema: with full schemas, lists would be 20 times as long."""


ANY_LAYER: dict[str, Any] = {
    "type": "object",
    "required": ["kind"],
    "description": "A layer or block, as /v1/layers/{kind} describes it.",
}
"""Stands for the schema of a layer in a block."""


def _schema(spec: type[Spec]) -> dict[str, Any]:
    """Return the JSON schema of *spec*, without the schemas of schedules and layers inside it."""
    schema = spec.model_json_schema()
    definitions = schema.pop("$defs", {})
    # A model that refers to itself, such as a schedule that contains others, is one of its own
    # definitions, and then the schema is only a reference to that definition.
    own = _with_references(definitions[spec.__name__] if "$ref" in schema else schema)
    nested = {kind.__name__ for kind in (*SCHEDULES.values(), *LAYERS.values())}
    available = {
        name: _with_references(part) for name, part in definitions.items() if name not in nested
    }
    used: dict[str, Any] = {}
    # Only definitions that are still referred to, directly or indirectly: those that only nested
    # schedules needed are left out. With all definitions, the list of optimizers took 2.5 MB.
    while missing := {n for n in available if f'"#/$defs/{n}"' in json.dumps([own, used])} - {
        *used
    }:
        used |= {name: available[name] for name in missing}
    return {"$defs": used, **own} if used else own


def _with_references(node: Any) -> Any:  # noqa: ANN401  any part of a JSON schema
    if isinstance(node, list):
        return [_with_references(item) for item in node]
    if not isinstance(node, dict):
        return node
    # pydantic does not name unions: the union of all schedules is recognized by one of them.
    union = node.get("discriminator", {}).get("mapping", {})
    if "cosine" in union or "conv2d" in union:
        return ANY_SCHEDULE if "cosine" in union else ANY_LAYER
    return {name: _with_references(value) for name, value in node.items()}


def _field(spec: type[Spec], name: str, schema: Mapping[str, Any]) -> CatalogueField:
    described = schema["properties"][name]
    info = spec.model_fields[name]
    defaults = dialects_of(spec, name)
    return CatalogueField(
        name=name,
        description=" ".join(field_docs(spec).get(name, "").split()),
        type=_type(described),
        default=None if info.is_required() or defaults else _default(info, described),
        defaults=dict(defaults) if defaults else None,
        unit=described.get("unit"),
    )


def _default(info: FieldInfo, described: Mapping[str, Any]) -> object:
    # The schema has no default that a function makes, such as an empty list.
    if info.default_factory in (list, dict):
        return info.get_default(call_default_factory=True)
    return described.get("default")


def _type(described: Mapping[str, Any]) -> str:
    """Return a short text with the type and the limits of a field, such as ``number > 0``."""
    if "const" in described:
        return repr(described["const"])
    if "enum" in described:
        return " | ".join(str(value) for value in described["enum"])
    if "anyOf" in described:
        return " | ".join(_type(choice) for choice in described["anyOf"])
    if "$ref" in described:
        return str(described["$ref"].rsplit("/", 1)[-1])
    limits = {
        "exclusiveMinimum": "> {}",
        "minimum": ">= {}",
        "exclusiveMaximum": "< {}",
        "maximum": "<= {}",
    }
    bounds = [text.format(described[key]) for key, text in limits.items() if key in described]
    return " ".join([str(described.get("type", "object")), *bounds])
