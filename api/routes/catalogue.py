"""The catalogue: what a job may name, read from the same specs that validate it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter

from api.problems import documented
from jobs.errors import NameNotFound
from jobs.spec.wire import CatalogueEntry, CatalogueField, Page
from optcore.spec.base import Spec, dialects_of
from optcore.spec.datasets import DATASETS
from optcore.spec.models import MODELS
from optcore.spec.optimizers import OPTIMIZERS
from optcore.spec.schedules import SCHEDULES

router = APIRouter(prefix="/v1", tags=["catalogue"])

NOUNS: dict[str, Mapping[str, type[Spec]]] = {
    "optimizer": OPTIMIZERS,
    "schedule": SCHEDULES,
    "model": MODELS,
    "dataset": DATASETS,
}


@router.get("/optimizers")
async def list_optimizers() -> Page[CatalogueEntry]:
    """Return every optimizer."""
    return _page("optimizer")


@router.get("/optimizers/{name}", responses=documented(NameNotFound))
async def read_optimizer(name: str) -> CatalogueEntry:
    """Return an optimizer: formula, references, hyperparameters with their defaults."""
    return _entry("optimizer", name)


@router.get("/schedules")
async def list_schedules() -> Page[CatalogueEntry]:
    """Return every schedule."""
    return _page("schedule")


@router.get("/schedules/{name}", responses=documented(NameNotFound))
async def read_schedule(name: str) -> CatalogueEntry:
    """Return a schedule: formula, references, fields."""
    return _entry("schedule", name)


@router.get("/models")
async def list_models() -> Page[CatalogueEntry]:
    """Return every model."""
    return _page("model")


@router.get("/models/{name}", responses=documented(NameNotFound))
async def read_model(name: str) -> CatalogueEntry:
    """Return a model and its fields."""
    return _entry("model", name)


@router.get("/datasets")
async def list_datasets() -> Page[CatalogueEntry]:
    """Return every dataset."""
    return _page("dataset")


@router.get("/datasets/{name}", responses=documented(NameNotFound))
async def read_dataset(name: str) -> CatalogueEntry:
    """Return a dataset and its fields."""
    return _entry("dataset", name)


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
    schema = spec.model_json_schema()
    return CatalogueEntry(
        object=noun,
        name=name,
        summary=description.partition("\n\n")[0].replace("\n", " "),
        description=description,
        fields=[_field(spec, field, schema) for field in spec.model_fields],
        json_schema=schema,
    )


def _field(spec: type[Spec], name: str, schema: Mapping[str, Any]) -> CatalogueField:
    # A schedule that may hold others is a reference into the definitions.
    own = schema if "properties" in schema else schema["$defs"][spec.__name__]
    described = own["properties"][name]
    info = spec.model_fields[name]
    defaults = dialects_of(spec, name)
    return CatalogueField(
        name=name,
        meaning=" ".join((info.description or "").split()),
        type=_type(described),
        default=None if info.is_required() or defaults else described.get("default"),
        defaults=dict(defaults) if defaults else None,
        unit=described.get("unit"),
    )


def _type(described: Mapping[str, Any]) -> str:
    """Return a field's type in a word or two, with its limits."""
    if "const" in described:
        return repr(described["const"])
    if "enum" in described:
        return " | ".join(described["enum"])
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
    shown = [text.format(described[key]) for key, text in limits.items() if key in described]
    return " ".join([str(described.get("type", "object")), *shown])
