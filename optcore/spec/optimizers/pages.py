"""Write docs/optimizers from the specs: one page per optimizer, and an index."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path

from optcore.spec.base import dialects_of, field_docs
from optcore.spec.optimizers.base import OptimizerSpec
from optcore.spec.optimizers.catalogue import OPTIMIZERS

LIMITS = (("gt", "> {}"), ("ge", ">= {}"), ("lt", "< {}"), ("le", "<= {}"))
# Without weight_decay, for which some optimizers have other defaults.
COMMON = [name for name in OptimizerSpec.model_fields if name not in ("kind", "weight_decay")]
"""Fields that every optimizer has; they are described on one page."""

FORMULAS = (
    "In the formulas, p is a parameter, g is its gradient, and t is the number of the update, "
    "counted from 1."
)
SIX = (
    "a tutorial that writes six optimizers by hand, in NumPy: SGD, Momentum, Nesterov, AdaGrad, "
    "RMSProp and Adam"
)
PAPER = "the paper, the first of the references"
CODE = "the authors' code, which is among the references"
ARTICLES = {
    **dict.fromkeys(("adagrad", "adam", "momentum", "nesterov", "rmsprop", "sgd"), SIX),
    **dict.fromkeys(("lamb", "lars", "lion", "proximal_sgd", "sag"), PAPER),
    **dict.fromkeys(("muon", "schedule_free_adamw", "schedule_free_sgd"), CODE),
}
"""Optimizer -> what its dialect ``article`` is."""


def pages() -> dict[str, str]:
    """Return the content of every page, by file name."""
    return {"README.md": _index()} | {
        f"{kind}.md": "\n".join(_page(kind, cls)) + "\n" for kind, cls in OPTIMIZERS.items()
    }


def _index() -> str:
    rows = [
        f"| [{kind}]({kind}.md) | {_summary(cls)} | {', '.join(cls.DIALECTS)} |"
        for kind, cls in OPTIMIZERS.items()
    ]
    lines = [
        "# Optimizers",
        "",
        "These pages are written from `optcore/spec/optimizers`; to write them again, run",
        "`python -m optcore.spec.optimizers.pages`. `GET /v1/optimizers` returns the same as JSON.",
        "",
        "An optimizer can be used in place of torch's, with any model:",
        "",
        "```python",
        "optimizer = torch.optim.Adam(model.parameters(), lr=1e-3, weight_decay=1e-4)",
        "optimizer = optcore.make_optimizer(",
        "    model.named_parameters(),",
        "    {",
        '        "kind": "adam",',
        '        "lr": 1e-3,',
        '        "weight_decay": 1e-4,',
        '        "groups": [{"match": "*.bias", "weight_decay": 0.0}],',
        "    },",
        ")",
        "```",
        "",
        "If torch has the optimizer, each of the two can load the `state_dict` of the other.",
        "",
        "| | | dialects |",
        "| --- | --- | --- |",
        *rows,
        "",
        "## What every optimizer has",
        "",
        "The schedule of lr, the loss scale and the moving average of the weights belong to the",
        "run: `schedule`, `training.loss_scale`, `training.ema` ([training](../training.md)).",
        "Without a run they are arguments of `make_optimizer`: `schedule`, `loss_scale`, `ema`.",
        "",
        *_table(OptimizerSpec, ["weight_decay", *COMMON]),
    ]
    return "\n".join(lines) + "\n"


def _page(kind: str, cls: type[OptimizerSpec]) -> Iterator[str]:
    yield f"# {kind}"
    yield ""
    yield _summary(cls)
    yield ""
    yield FORMULAS
    yield ""
    for line in (inspect.getdoc(cls) or "").partition("\n\n")[2].splitlines():
        # In Markdown the indented block is code without this line.
        if line == "::":
            continue
        yield f"**{line}**" if line == "References:" else line
    yield ""
    yield f"Dialects: {', '.join(cls.DIALECTS)} (the first is the default)."
    yield ""
    if "article" in cls.DIALECTS:
        yield f"Dialect `article` is {ARTICLES[kind]}."
        yield ""
    yield f"State of the optimizer, in bytes per float32 parameter: {cls.STATE_BYTES}."
    yield ""
    yield "## Hyperparameters"
    yield ""
    own = [name for name in cls.model_fields if name not in COMMON and name != "kind"]
    yield from _table(cls, own)
    yield ""
    yield "and [what every optimizer has](README.md#what-every-optimizer-has)."


def _table(cls: type[OptimizerSpec], names: list[str]) -> Iterator[str]:
    yield "| | range | default | |"
    yield "| --- | --- | --- | --- |"
    docs = field_docs(cls)
    for name in names:
        meaning = " ".join(docs.get(name, "").split()).replace("|", "\\|")
        yield f"| `{name}` | {_range(cls, name)} | {_default(cls, name)} | {meaning} |"


def _range(cls: type[OptimizerSpec], name: str) -> str:
    found = [
        text.format(getattr(bound, key))
        for bound in cls.model_fields[name].metadata
        for key, text in LIMITS
        if getattr(bound, key, None) is not None
    ]
    return ", ".join(found)


def _default(cls: type[OptimizerSpec], name: str) -> str:
    defaults = dialects_of(cls, name)
    if defaults is None:
        field = cls.model_fields[name]
        if field.is_required():
            return ""
        value = field.get_default(call_default_factory=True, validated_data={})
        return "`null`" if value is None else f"`{_text(value)}`"
    there = {d: value for d, value in defaults.items() if d in cls.DIALECTS}
    by_value: dict[str, list[str]] = {}
    for dialect, value in there.items():
        by_value.setdefault(_text(value), []).append(dialect)
    if len(by_value) == 1 and set(there) == set(cls.DIALECTS):
        return f"`{next(iter(by_value))}`"
    return ", ".join(f"`{value}` {' '.join(names)}" for value, names in by_value.items())


def _text(value: object) -> str:
    if value is None:
        return "required"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _summary(cls: type[OptimizerSpec]) -> str:
    return (inspect.getdoc(cls) or "").partition("\n\n")[0].replace("\n", " ")


def main() -> None:
    """Write the pages into docs/optimizers."""
    folder = Path("docs/optimizers")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in pages().items():
        (folder / name).write_text(content)


if __name__ == "__main__":
    main()
