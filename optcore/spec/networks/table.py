"""Write the table of layers in docs/networks.md: ``python -m optcore.spec.networks.table FILE``."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path

from optcore.spec.layers.base import LayerSpec
from optcore.spec.layers.catalogue import LAYERS

BEGIN, END = "<!-- layers: written by optcore.spec.networks.table -->", "<!-- /layers -->"
"""The lines before and after the table."""


def table() -> str:
    """Return the table: a row for each kind, with its fields, their defaults, and what it is."""
    rows = [_row(kind, layer) for kind, layer in LAYERS.items()]
    return "\n".join(["| kind | fields | |", "|---|---|---|", *rows])


def with_table(page: str) -> str:
    """Return *page* with the present table between the lines that mark its begin and its end."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


def _row(kind: str, layer: type[LayerSpec]) -> str:
    own = [name for name in layer.model_fields if name not in LayerSpec.model_fields]
    first = (inspect.getdoc(layer) or "").partition("\n\n")[0]
    summary = first.replace("\n", " ").replace("``", "`")
    fields = ", ".join(_field(layer, name) for name in own)
    return f"| `{kind}` | {fields} | {summary.replace('|', chr(92) + '|')} |"


def _field(layer: type[LayerSpec], name: str) -> str:
    info = layer.model_fields[name]
    if info.is_required():
        return f"**`{name}`**"
    default = info.get_default(call_default_factory=True, validated_data={"dialect": "torch"})
    if isinstance(default, float):
        default = float(f"{default:.7g}")
    return f"`{name}` {json.dumps(default)}"


if __name__ == "__main__":
    path = Path(sys.argv[1])
    path.write_text(with_table(path.read_text()))
