"""Output to a terminal, with control characters escaped."""

from __future__ import annotations

import unicodedata
from typing import Any

from rich.console import Console
from rich.text import Text

BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Bidirectional controls: they reorder the rest of a line, so that it reads as something else."""
CONTROLS = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories of control characters, surrogates, and line and paragraph separators."""


class Terminal(Console):
    """A console for untrusted text: no markup, no emoji codes, and escaped control characters."""

    def __init__(self, *, stderr: bool = False) -> None:
        # With markup, rich would take [red] in the name of a job for a style.
        super().__init__(stderr=stderr, highlight=False, markup=False, emoji=False)

    def render_str(self, text: str, **options: Any) -> Text:  # noqa: ANN401  as rich has them
        """Return *text*, which may have several lines, with control characters escaped."""
        # Console.print passes every string through this, so no string reaches the terminal
        # unescaped.
        return super().render_str("\n".join(visible(line) for line in text.split("\n")), **options)

    def say(self, text: str, *, style: str | None = None) -> None:
        """Print *text* without wrapping its lines."""
        self.print(text, style=style, soft_wrap=True)


out = Terminal()
err = Terminal(stderr=True)


def visible(text: str) -> str:
    r"""Return *text* on one line, with control characters escaped as ``\x1b``."""
    return "".join(
        ascii(char)[1:-1] if unicodedata.category(char) in CONTROLS or char in BIDI else char
        for char in text
    )
