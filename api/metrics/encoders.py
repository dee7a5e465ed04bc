"""Encoders of rows as text: CSV and NDJSON."""

from __future__ import annotations

import csv as csv_format
import io
import json
from collections.abc import Sequence
from itertools import chain
from typing import Protocol

import numpy as np
from pydantic_core import to_json

from store.jobs.series import FLOAT64, Series


class Encoder(Protocol):
    """Encodes rows: call `begin`, then `rows` any number of times, then `end`."""

    def begin(self) -> bytes:
        """Return the bytes before the first row."""
        ...

    def rows(self, first: int, data: bytes) -> bytes:
        """Return the encoding of the rows packed in *data*; *first* is the first row's number."""
        ...

    def end(self) -> bytes:
        """Return the bytes after the last row."""
        ...


class Text:
    """
    Encodes rows as lines. Numbers are written as the shortest text that parses to the same double.

    NaN and infinities are written as NaN, Infinity and -Infinity. In NDJSON these are strings.

    Args:
        series: the layout of the rows.
        columns: the names of the columns to include, in order.
        csv: whether to write CSV, with a header line; if false, NDJSON is written.
    """

    def __init__(self, series: Series, columns: Sequence[str], *, csv: bool) -> None:
        self._width = series.width // FLOAT64
        self._indices = [series.columns.index(name) for name in columns]
        self._csv = csv
        names = ["step", *columns]
        self._head = _line(names) if csv else b""
        fields = ["%d", *["%b"] * len(columns)]
        words = [f"{json.dumps(name)}:{field}" for name, field in zip(names, fields, strict=True)]
        self._template = (",".join(fields) if csv else "{" + ",".join(words) + "}").encode() + b"\n"

    def begin(self) -> bytes:
        """Return the header line of CSV; nothing for NDJSON."""
        return self._head

    def rows(self, first: int, data: bytes) -> bytes:
        """Return a line for each row packed in *data*; *first* is the first row's number."""
        # One template repeated for all rows and filled in one go is several times faster than
        # formatting row by row.
        values = np.frombuffer(data, "<f8").reshape(-1, self._width)
        columns = [self._texts(values[:, i].tolist()) for i in self._indices]
        numbers = range(first, first + len(values))
        return (
            self._template
            * len(values)
            % tuple(chain.from_iterable(zip(numbers, *columns, strict=True)))
        )

    def end(self) -> bytes:
        """Return no bytes: nothing follows the last line."""
        return b""

    def _texts(self, values: list[float]) -> list[bytes]:
        # One call for a whole column, then a split: a call for each value would cost more.
        text = to_json(values, inf_nan_mode="strings")[1:-1]
        return (text.replace(b'"', b"") if self._csv else text).split(b",")


def _line(names: Sequence[str]) -> bytes:
    """Return a line of CSV; a name that contains a comma or a quote is quoted."""
    line = io.StringIO()
    csv_format.writer(line, lineterminator="\n").writerow(names)
    return line.getvalue().encode()
