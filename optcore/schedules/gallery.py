"""
The gallery: a page with the formula and the picture of every schedule, made from its spec.

``python -m optcore.schedules.gallery docs/schedules`` writes it. A test compares what is there with
what it would write.
"""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from optcore.schedules.base import Dialectal
from optcore.schedules.catalogue import SCHEDULES
from optcore.schedules.make import make_schedule
from optcore.schedules.picture import svg
from optcore.schedules.warmup import Warmup

STEPS, PER_EPOCH = 400, 20
"""Of the runs that are drawn."""

Example = tuple[dict[str, Any], dict[str, dict[str, Any]]]
"""What the page shows as JSON, and what it draws beside it, by name."""

COSINE = {"kind": "cosine"}

EXAMPLES: dict[str, Example] = {
    "constant": (
        {"kind": "constant"},
        {"factor 0.5 for 100": {"kind": "constant", "factor": 0.5, "length": 100}},
    ),
    "piecewise": (
        {"kind": "piecewise", "boundaries": [100, {"epochs": 12}], "values": [1.0, 0.4, 0.1]},
        {},
    ),
    "step": ({"kind": "step", "every": {"epochs": 4}, "gamma": 0.6}, {}),
    "multi_step": ({"kind": "multi_step", "milestones": [100, 300], "gamma": 0.3}, {}),
    "multiplicative": ({"kind": "multiplicative", "factors": [0.99] * 50 + [1.01] * 30}, {}),
    "values": (
        {"kind": "values", "values": [round(1 - (t % 80) / 100, 2) for t in range(STEPS)]},
        {},
    ),
    "cosine": (
        COSINE,
        {
            "length 200, past_end rise": {**COSINE, "length": 200, "past_end": "rise"},
            "end_fraction 0.3": {**COSINE, "end_fraction": 0.3},
        },
    ),
    "linear": (
        {"kind": "linear"},
        {"start_fraction 0.3, end 1": {"kind": "linear", "start_fraction": 0.3, "end": 1.0}},
    ),
    "polynomial": (
        {"kind": "polynomial", "power": 2.0},
        {
            "power 0.5": {"kind": "polynomial", "power": 0.5},
            "length 80, cycle": {"kind": "polynomial", "length": 80, "cycle": True},
        },
    ),
    "tanh": ({"kind": "tanh"}, {"upper 6": {"kind": "tanh", "upper": 6.0}}),
    "rex": ({"kind": "rex"}, {"linear": {"kind": "linear"}}),
    "wsd": (
        {"kind": "wsd", "decay": 100, "warmup": {"length": 40}},
        {"one_minus_sqrt": {"kind": "wsd", "decay": 100, "shape": "one_minus_sqrt"}},
    ),
    "exponential": (
        {"kind": "exponential", "rate": 0.5, "every": 100},
        {
            "staircase": {
                "kind": "exponential",
                "rate": 0.5,
                "every": 100,
                "staircase": True,
            }
        },
    ),
    "natural_exponential": ({"kind": "natural_exponential", "rate": 1.0, "every": 100}, {}),
    "inverse_time": ({"kind": "inverse_time", "rate": 1.0, "every": 100}, {}),
    "noam": ({"kind": "noam", "d_model": 1, "warmup_steps": 100}, {}),
    "inverse_sqrt": (
        {"kind": "inverse_sqrt", "timescale": 50, "warmup": {"length": 50}},
        {},
    ),
    "cosine_restarts": (
        {"kind": "cosine_restarts", "length": 60, "t_mul": 2.0},
        {"m_mul 0.6": {"kind": "cosine_restarts", "length": 100, "m_mul": 0.6}},
    ),
    "cyclical_cosine": ({"kind": "cyclical_cosine", "length": {"epochs": 5}}, {}),
    "two_step_cosine": (
        {"kind": "two_step_cosine", "first": 200},
        {"after_first zero": {"kind": "two_step_cosine", "first": 200, "after_first": "zero"}},
    ),
    "linear_cosine": ({"kind": "linear_cosine", "num_periods": 3.0, "alpha": 0.1}, {}),
    "noisy_linear_cosine": ({"kind": "noisy_linear_cosine", "seed": 1}, {}),
    "one_cycle": (
        {"kind": "one_cycle"},
        {"three phases, linear": {"kind": "one_cycle", "three_phase": True, "shape": "linear"}},
    ),
    "cyclic": (
        {"kind": "cyclic", "base": 0.1, "up": 40},
        {"triangular2": {"kind": "cyclic", "base": 0.1, "up": 40, "mode": "triangular2"}},
    ),
    "plateau": ({"kind": "plateau", "patience": 3, "factor": 0.5}, {}),
    "greedy": ({"kind": "greedy", "patience": 3, "factor": 0.8}, {}),
    "chain": (
        {
            "kind": "chain",
            "schedules": [{"kind": "linear", "start_fraction": 0.2, "end": 1.0}, COSINE],
            "boundaries": [100],
        },
        {},
    ),
    "cycle": ({"kind": "cycle", "schedule": {"kind": "rex"}, "length": 100, "factor": 0.7}, {}),
    "scale": ({"kind": "scale", "schedule": COSINE, "factor": 0.5}, {"cosine": COSINE}),
    "product": (
        {
            "kind": "product",
            "schedules": [COSINE, {"kind": "cyclic", "base": 0.5, "up": 20}],
        },
        {},
    ),
    "clamp": ({"kind": "clamp", "schedule": COSINE, "min": 0.2, "max": 0.8}, {}),
    "noise": ({"kind": "noise", "schedule": COSINE, "std": 0.05, "begin": 100}, {}),
    "per_epoch": ({"kind": "per_epoch", "schedule": COSINE}, {"cosine": COSINE}),
    "shift": ({"kind": "shift", "schedule": COSINE, "by": 100}, {}),
}
"""A schedule of every kind, for a run of 400 steps, 20 to the epoch, from an lr of 1."""

WARMUPS = {
    after: {**COSINE, "warmup": {"length": 100, "after": after}}
    for after in ("delay", "overlap", "compress")
}
METRICS = [1 / (1 + t) if t < 10 else 0.1 for t in range(20)]  # noqa: PLR2004
"""What a schedule that follows a metric is fed for its picture, once an epoch."""

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
        example, others = EXAMPLES[kind]
        files[f"{kind}.svg"] = svg(drawn({kind: example, **others}), title=kind)
        parts.append(section(kind, spec, example))
    files["README.md"] = "\n".join(parts)
    return files


def contents() -> str:
    """Return links to every schedule."""
    return " · ".join(f"[{kind}](#{kind})" for kind in ("warmup", *SCHEDULES)) + "\n"


def section(kind: str, spec: type[Any], example: Mapping[str, Any]) -> str:
    """Return what the page says about one kind."""
    lines = [f"## {kind}", "", f"![{kind}]({kind}.svg)", "", "```json", shown(example), "```", ""]
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


def shown(example: Mapping[str, Any]) -> str:
    """Return *example* as JSON, a long list cut."""
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
