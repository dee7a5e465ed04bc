"""The catalogue: what a job's spec may name."""

from __future__ import annotations

from typing import Any

from optserve.contract.answers.base import WireModel


class CatalogueField(WireModel):
    """One field of a spec."""

    name: str
    description: str
    type: str
    default: Any
    """null if the field is required."""
    defaults: dict[str, Any] | None
    """Dialect -> default, where they differ; a dialect that is missing does not have the field."""
    unit: str | None


class CatalogueEntry(WireModel):
    """An optimizer, schedule, model, dataset or loss that a job may name."""

    object: str
    name: str
    summary: str
    description: str
    """Formula and references."""
    fields: list[CatalogueField]
    json_schema: dict[str, Any]
