"""The formats in which the steps of a job can be exported."""

from __future__ import annotations

from enum import StrEnum


class ExportForm(StrEnum):
    """A file format for exports."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"
    ARROW = "arrow"

    @property
    def media_type(self) -> str:
        """The media type of the format, for HTTP headers."""
        return _MEDIA_TYPES[self]

    @property
    def is_text(self) -> bool:
        """Whether the format is text, which a terminal can show."""
        return self in (ExportForm.CSV, ExportForm.NDJSON)


_MEDIA_TYPES = {
    ExportForm.CSV: "text/csv",
    ExportForm.NDJSON: "application/x-ndjson",
    ExportForm.PARQUET: "application/vnd.apache.parquet",
    ExportForm.ARROW: "application/vnd.apache.arrow.stream",
}
