"""
The gallery: a page with the formula and a picture of every schedule, made from the spec classes.

``python -m optcore.schedules.gallery docs/schedules`` writes the page and the pictures; a test
fails if the files in that folder are out of date.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from optcore.schedules.catalogue import SCHEDULES
from optcore.schedules.dialects import Dialectal
from optcore.schedules.make import make_schedule
from optcore.schedules.picture import svg
from optcore.schedules.warmup import Warmup
from optcore.spec.base import field_docs

STEPS, PER_EPOCH = 400, 20
"""The length of the drawn run, and of one epoch, in steps."""

EXAMPLES = {kind: {"kind": kind, **spec.EXAMPLE} for kind, spec in SCHEDULES.items()}
"""Kind -> the example schedule that is drawn."""

WARMUPS = {
    after: {"kind": "cosine", "warmup": {"length": 100, "after": after}}
    for after in ("delay", "overlap", "compress")
}
# The metric improves for ten epochs only, so that both kinds lower lr in the second half.
METRICS = [1 / (1 + t) if t < 10 else 0.1 for t in range(20)]  # noqa: PLR2004
"""The metric values with which metric-driven schedules are drawn, one per epoch."""

HEAD = f"""# Schedules

Every schedule that may be the `schedule` of a job or of a parameter group, or be given to
`optcore.make_schedule`, with its formula and a picture. This page is made from the specs;
`make gallery` writes it.

In the formulas t = 0 is the first update, T is the number of steps in the whole run, and lr is the
learning rate of the optimizer or of the parameter group. A duration is a number of steps, such as
`500`, or of epochs, such as `{{"epochs": 5}}`. The pictures show runs of {STEPS} steps, with
{PER_EPOCH} steps per epoch and an lr of 1.

Where frameworks differ, `dialect` selects one framework's formula, defaults and rounding together,
so that lr equals the lr of that framework at every step. The default dialect is `plain`: the
formula below.

To see a schedule before it runs: `optserve schedule plot '{{"kind": "cosine"}}'`, or
`POST /v1/schedules/preview`.
"""


def page() -> dict[str, str]:
    """Return the files of the gallery as file name -> text."""
    files = {"warmup.svg": svg(drawn(WARMUPS), title="cosine after a warmup of 100")}
    parts = [HEAD, contents(), section("warmup", Warmup, WARMUPS["delay"])]
    for kind, spec in SCHEDULES.items():
        variants = {name: {"kind": kind, **fields} for name, fields in spec.VARIANTS.items()}
        curves = drawn({kind: EXAMPLES[kind], **variants})
        files[f"{kind}.svg"] = svg(curves, title=kind)
        parts.append(section(kind, spec, EXAMPLES[kind]))
    files["README.md"] = "\n".join(parts)
    return files


def contents() -> str:
    """Return a line with a link to the section of each kind."""
    return " · ".join(f"[{kind}](#{kind})" for kind in ("warmup", *SCHEDULES)) + "\n"


def section(kind: str, spec: type[Any], example: Mapping[str, Any]) -> str:
    """Return the section for one kind: its picture, *example*, formula and fields."""
    lines = [f"## {kind}", "", f"![{kind}]({kind}.svg)", "", "```json", as_json(example), "```", ""]
    lines += [_as_markdown(inspect.getdoc(spec) or ""), ""]
    if issubclass(spec, Dialectal):
        lines += [f"Dialects: plain, {', '.join(spec.DIALECTS)}.", ""]
    lines += ["| field | meaning |", "|---|---|"]
    skipped = {"kind", "warmup", "dialect", "precision"}
    docs = field_docs(spec)
    for name in spec.model_fields:
        if name not in skipped:
            meaning = " ".join(docs.get(name, "").split())
            lines.append(f"| `{name}` | {meaning} |")
    return "\n".join([*lines, ""])


def as_json(example: Mapping[str, Any]) -> str:
    """Return *example* as JSON, with long lists shortened."""
    parts = []
    for name, value in example.items():
        text = json.dumps(value)
        if isinstance(value, list) and len(text) > 200:  # noqa: PLR2004
            text = f"[{', '.join(map(str, value[:4]))}, ...]"
        parts.append(f'"{name}": {text}')
    return "{" + ", ".join(parts) + "}"


def drawn(specs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return name -> array of the lr at every step of the drawn run, for each of *specs*."""
    return {name: _curve(spec) for name, spec in specs.items()}


def _curve(spec: Mapping[str, Any]) -> Any:  # noqa: ANN401
    schedule: Any = make_schedule(spec, lr=1.0, total_steps=STEPS, steps_per_epoch=PER_EPOCH)
    if not SCHEDULES[spec["kind"]].STATEFUL:
        return schedule(np.arange(STEPS))
    lrs = []
    for metric in METRICS:
        # Any t will do: the examples have no warmup, and only the metric changes their lr.
        lrs += [schedule(0)] * PER_EPOCH
        schedule.observe(metric)
    return np.asarray(lrs)


def _as_markdown(text: str) -> str:
    """Return the docstring *text* as Markdown, with code fences around its indented blocks."""
    body, _, references = text.partition("\n\nReferences:\n")
    blocks = []
    for block in body.split("\n\n"):
        if block.startswith("    "):
            blocks.append(f"```text\n{inspect.cleandoc(block)}\n```")
        elif block != "::":
            blocks.append(block.replace("::", ":") if block.endswith("::") else block)
    if references:
        blocks.append(f"References: {inspect.cleandoc(references)}")
    return "\n\n".join(blocks)


def main(folder: Path) -> None:
    """Write the gallery into *folder*."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in page().items():
        (folder / name).write_text(text)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
