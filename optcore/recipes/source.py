"""
A kind of configuration file that can be converted.

A converter is a module with a `SOURCE`, which `optcore.recipes.catalogue` lists. Its function gets
the whole file as a `Block`, reads keys, and says of each what became of it::

    def convert(file: Block) -> None:
        file.converted("learning_rate", "optimizer.lr", file.number("learning_rate"))
        if "adam_beta1" in file:
            file.converted("adam_beta1", "optimizer.beta1", file.number("adam_beta1"))
        file.result.default("optimizer.kind", "adamw", "the optimizer that Trainer takes")
        if file.given("deepspeed"):
            file.refused("deepspeed", "may replace optimizer and schedule, and is in another file")
        file.ignored("warmup_ratio", "Trainer takes warmup_steps, which is given")
        file.other("report_to", "not about the optimization")

A key may be converted into several fields, by one call each. Keys of a mapping are read from
``file.block("name")``. A framework's default is set with ``file.result.default``, so that the
explanation lists it. A converter reads what the framework's code reads: a known name is not enough.
Whatever no call accounts for is refused in the end, and so is what a job would not accept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from optcore.recipes.block import Block


@dataclass(frozen=True)
class Source:
    """
    A kind of configuration file.

    Attributes:
        name: the name in ``--from``.
        title: what such a file is, for messages: ``a PaddleOCR configuration``.
        sign: what tells such a file from others, for messages.
        fits: whether a file has the sign.
        convert: the converter.
        parse: how to read a file that is neither YAML nor JSON with a mapping, such as a command
            line; it returns None for a file that it does not know.
    """

    name: str
    title: str
    sign: str
    fits: Callable[[Mapping[str, Any]], bool]
    convert: Callable[[Block], None]
    parse: Callable[[str], Mapping[str, Any] | None] | None = None
