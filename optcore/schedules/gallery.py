"""
The gallery: a page with the formula and the picture of every schedule, made from its spec.

``python -m optcore.schedules.gallery docs/schedules`` writes it; a test fails when the files there
are out of date.
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

STEPS, PER_EPOCH = 400, 20
"""Length of the drawn run and of its epochs, in steps."""

EXAMPLES = {kind: {"kind": kind, **spec.EXAMPLE} for kind, spec in SCHEDULES.items()}
"""Kind -> the schedule that is drawn."""

WARMUPS = {
    after: {"kind": "cosine", "warmup": {"length": 100, "after": after}}
    for after in ("delay", "overlap", "compress")
}
# Better for ten epochs and then never again, so that both kinds lower lr in the second half.
METRICS = [1 / (1 + t) if t < 10 else 0.1 for t in range(20)]  # noqa: PLR2004
"""What a metric-driven schedule observes in its picture, once an epoch."""

HEAD = f"""# Schedules

Every schedule that a job's `schedule`, a group's, or `optcore.make_schedule` may name, with its
formula and its picture. This page is made from the specs; `make gallery` writes it.

In the formulas t = 0 is the first update, T the steps of the whole run and lr the optimizer's (or
the group's) learning rate. Durations are steps, or `{{"epochs": 5}}`. The pictures show runs of
{STEPS} steps, {PER_EPOCH} to the epoch, from an lr of 1.

Where frameworks disagree, `dialect` picks one framework's formula, defaults and rounding together,
and lr is the framework's own at every step. Left out, it is `plain`: the formula below.

See one before it runs: `optserve schedule plot '{{"kind": "cosine"}}'`, or
`POST /v1/schedules/preview`.
"""


def page() -> dict[str, str]:
    """Return the files of the gallery by name."""
    files = {"warmup.svg": svg(drawn(WARMUPS), title="cosine behind a warmup of 100")}
    parts = [HEAD, contents(), section("warmup", Warmup, WARMUPS["delay"])]
    for kind, spec in SCHEDULES.items():
        variants = {name: {"kind": kind, **fields} for name, fields in spec.VARIANTS.items()}
        curves = drawn({kind: EXAMPLES[kind], **variants})
        files[f"{kind}.svg"] = svg(curves, title=kind)
        parts.append(section(kind, spec, EXAMPLES[kind]))
    files["README.md"] = "\n".join(parts)
    return files


def contents() -> str:
    """Return links to every schedule."""
    return " · ".join(f"[{kind}](#{kind})" for kind in ("warmup", *SCHEDULES)) + "\n"


def section(kind: str, spec: type[Any], example: Mapping[str, Any]) -> str:
    """Return the section of the page about one kind."""
    lines = [f"## {kind}", "", f"![{kind}]({kind}.svg)", "", "```json", as_json(example), "```", ""]
    lines += [_as_markdown(inspect.getdoc(spec) or ""), ""]
    if issubclass(spec, Dialectal):
        lines += [f"Dialects: plain, {', '.join(spec.DIALECTS)}.", ""]
    lines += ["| field | meaning |", "|---|---|"]
    skipped = {"kind", "warmup", "dialect", "precision"}
    for name, field in spec.model_fields.items():
        if name not in skipped:
            meaning = " ".join((field.description or "").split())
            lines.append(f"| `{name}` | {meaning} |")
    return "\n".join([*lines, ""])


def as_json(example: Mapping[str, Any]) -> str:
    """Return *example* as JSON, a long list shortened."""
    parts = []
    for name, value in example.items():
        text = json.dumps(value)
        if isinstance(value, list) and len(text) > 200:  # noqa: PLR2004
            text = f"[{', '.join(map(str, value[:4]))}, ...]"
        parts.append(f'"{name}": {text}')
    return "{" + ", ".join(parts) + "}"


def drawn(specs: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the curves of *specs*."""
    return {name: _curve(spec) for name, spec in specs.items()}


def _curve(spec: Mapping[str, Any]) -> Any:  # noqa: ANN401
    schedule: Any = make_schedule(spec, lr=1.0, total_steps=STEPS, steps_per_epoch=PER_EPOCH)
    if not SCHEDULES[spec["kind"]].STATEFUL:
        return schedule(np.arange(STEPS))
    lrs = []
    for metric in METRICS:
        # At any t: the examples have no warmup, and nothing but a metric moves their lr.
        lrs += [schedule(0)] * PER_EPOCH
        schedule.observe(metric)
    return np.asarray(lrs)


def _as_markdown(text: str) -> str:
    """Return a docstring with its indented blocks fenced."""
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
