"""
A kind of configuration file that can be converted, and how to write a converter.

A converter is a module with a `SOURCE`, which `optcore.recipes.catalogue` lists. The function
`convert` of the module gets the whole file as a `Block`, reads the keys, and records what became of
each key::

    def convert(file: Block) -> None:
        file.converted("learning_rate", "optimizer.lr", file.number("learning_rate"))
        if "adam_beta1" in file:
            file.converted("adam_beta1", "optimizer.beta1", file.number("adam_beta1"))
        file.result.default("optimizer.kind", "adamw", "the optimizer that Trainer takes")
        if file.given("deepspeed"):
            file.refused("deepspeed", "may replace optimizer and schedule, and is in another file")
        file.ignored("warmup_ratio", "Trainer takes warmup_steps, which is given")
        file.other("report_to", "not about the optimization")

A key may be converted into several fields, with one call per field. Keys in a mapping are read from
``file.block("name")``. A framework's default is set with ``file.result.default``, so that the user
sees it in the explanation of the job.

The framework's code decides what a key means. A key may mean something else than its name says.

After `convert`, keys without a record are refused, and so is a job with invalid fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optcore.recipes.block import Block


@dataclass(frozen=True)
class Source:
    """
    A kind of configuration file, with the function that converts such a file.

    Attributes:
        name: name of the kind, as in ``optserve convert --from timm``.
        title: description of such a file, for messages: ``a PaddleOCR configuration``.
        sign: description of the keys by which such a file is recognized, for messages.
        fits: function that returns whether a configuration has these keys.
        convert: function that converts the file.
        parse: function that reads a file that is neither YAML nor JSON with a mapping, such as a
            command line; it returns None if it cannot read the file.
    """

    name: str
    title: str
    sign: str
    fits: Callable[[Mapping[str, Any]], bool]
    convert: Callable[[Block], None]
    parse: Callable[[str], Mapping[str, Any] | None] | None = None
