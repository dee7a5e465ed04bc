"""Rows as text: CSV, and a JSON object a line."""

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
    """What makes bytes of rows: the beginning, any number of rows, the end."""

    def begin(self) -> bytes:
        """Return what comes before the first row."""
        ...

    def rows(self, first: int, data: bytes) -> bytes:
        """Return packed rows, of which *first* is the number of the first."""
        ...

    def end(self) -> bytes:
        """Return what comes after the last row."""
        ...


class Text:
    """
    Rows as lines; numbers are the shortest text that gives the same bits.

    NaN and infinities are NaN, Infinity and -Infinity, in JSON as strings.

    Args:
        series: what the rows hold.
        columns: those that are wanted, in this order.
        csv: with a line of names before the others; else each line is a JSON object.
    """

    def __init__(self, series: Series, columns: Sequence[str], *, csv: bool) -> None:
        self._width = series.width // FLOAT64
        self._picked = [series.columns.index(name) for name in columns]
        self._csv = csv
        names = ["step", *columns]
        self._head = _line(names) if csv else b""
        fields = ["%d", *["%b"] * len(columns)]
        words = [f"{json.dumps(name)}:{field}" for name, field in zip(names, fields, strict=True)]
        self._template = (",".join(fields) if csv else "{" + ",".join(words) + "}").encode() + b"\n"

    def begin(self) -> bytes:
        """Return the names, if it is CSV."""
        return self._head

    def rows(self, first: int, data: bytes) -> bytes:
        """Return a line per row."""
        values = np.frombuffer(data, "<f8").reshape(-1, self._width)
        columns = [self._texts(values[:, i].tolist()) for i in self._picked]
        numbers = range(first, first + len(values))
        return (
            self._template
            * len(values)
            % tuple(chain.from_iterable(zip(numbers, *columns, strict=True)))
        )

    def end(self) -> bytes:
        """Return nothing."""
        return b""

    def _texts(self, values: list[float]) -> list[bytes]:
        text = to_json(values, inf_nan_mode="strings")[1:-1]
        return (text.replace(b'"', b"") if self._csv else text).split(b",")


def _line(names: Sequence[str]) -> bytes:
    """Return a line of CSV; a name with a comma or a quote in it is quoted."""
    line = io.StringIO()
    csv_format.writer(line, lineterminator="\n").writerow(names)
    return line.getvalue().encode()
