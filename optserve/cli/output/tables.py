"""Tables: aligned for people, separated by tabs for programs."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from optserve.cli.output.terminal import Terminal, visible

GAP = "  "


def print_table(terminal: Terminal, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """
    Print *rows*: on a terminal below *header*, elsewhere without it and with tabs between.

    On a terminal only the last column is cut to what room the others leave.
    """
    rows = [[visible(cell) for cell in row] for row in rows]
    if not terminal.is_terminal:
        for row in rows:
            terminal.file.write("\t".join(row) + "\n")
        return
    lines = aligned([header, *rows], terminal.width)
    terminal.say(lines[0], style="bold")
    for line in lines[1:]:
        terminal.say(line)


def aligned(rows: Sequence[Sequence[str]], width: int) -> list[str]:
    """Return *rows* as lines; only cells of the last column are cut, so that *width* suffices."""
    widths = [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    room = width - sum(widths) - len(GAP) * len(widths)
    return [
        GAP.join([*map(_padded, cells, widths), _cut(last, room)]).rstrip() for *cells, last in rows
    ]


def _padded(cell: str, width: int) -> str:
    return cell + " " * (width - cell_len(cell))


def _cut(text: str, room: int) -> str:
    if room <= 0:
        return ""
    cut = Text(text)
    cut.truncate(room, overflow="ellipsis")
    return cut.plain
