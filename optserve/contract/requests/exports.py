"""The forms in which the steps of a job are exported."""

from __future__ import annotations

from enum import StrEnum


class ExportForm(StrEnum):
    """What the steps of a job may be exported as."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"
    ARROW = "arrow"

    @property
    def media_type(self) -> str:
        """What HTTP calls it."""
        return _MEDIA_TYPES[self]

    @property
    def is_text(self) -> bool:
        """Whether it can be read by eye."""
        return self in (ExportForm.CSV, ExportForm.NDJSON)


_MEDIA_TYPES = {
    ExportForm.CSV: "text/csv",
    ExportForm.NDJSON: "application/x-ndjson",
    ExportForm.PARQUET: "application/vnd.apache.parquet",
    ExportForm.ARROW: "application/vnd.apache.arrow.stream",
}
