"""The catalogue: the optimizers, schedules, models, layers and datasets that a job can name."""

from __future__ import annotations

from typing import Any

from optserve.contract.answers.base import WireModel


class CatalogueField(WireModel):
    """One field in the spec of a catalogue entry, such as the `beta1` of an optimizer."""

    name: str
    description: str
    type: str
    default: Any
    """Default value; null if the field is required, or if `defaults` contains its default
    values."""
    defaults: dict[str, Any] | None
    """Default value for each dialect, if it depends on the dialect; otherwise null. In a dialect
    that is not listed, the field does not exist."""
    unit: str | None


class CatalogueEntry(WireModel):
    """An optimizer, schedule, model, layer or dataset that a job's spec can name."""

    object: str
    name: str
    summary: str
    description: str
    """The full description, with formulas and references."""
    package: str | None
    """Name and version of the installed package that adds it; null if it comes with optserve."""
    fields: list[CatalogueField]
    json_schema: dict[str, Any]
