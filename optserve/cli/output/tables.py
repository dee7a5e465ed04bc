"""Tables: aligned columns in a terminal, tab-separated values elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from optserve.cli.output.terminal import Terminal, visible

GAP = "  "


def print_table(terminal: Terminal, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """
    Print *rows* as a table.

    In a terminal, the columns are aligned below *header*. If the terminal is too narrow, only the
    last column is truncated. Elsewhere, cells are separated by tabs, and *header* is not printed.
    """
    rows = [[visible(cell) for cell in row] for row in rows]
    if not terminal.is_terminal:
        for row in rows:
            # Not printed with rich, which replaces tabs by spaces.
            terminal.file.write("\t".join(row) + "\n")
        return
    lines = aligned([header, *rows], terminal.width)
    terminal.say(lines[0], style="bold")
    for line in lines[1:]:
        terminal.say(line)


def aligned(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return *rows* as aligned lines; only the last column is truncated to fit *width*."""
    # Not a table of rich: in 80 columns that would truncate ids, too.
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    left = width - sum(widths) - len(GAP) * len(widths)
    return [
        GAP.join([*map(_padded, cells, widths), _truncated(last, left)]).rstrip()
        for *cells, last in rows
    ]


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - cell_len(cell))


def _truncated(text: str, width: int) -> str:
    if width <= 0:
        return ""
    line = Text(text)  # rich counts terminal cells: a CJK character takes two
    line.truncate(width, overflow="ellipsis")
    return line.plain
