"""
All update rules by the name of their optimizer, except L-BFGS, which torch itself computes.

Every `Rule` in a file of this folder is one of them; a new rule needs no entry here.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import optcore.optimizers.rules
from optcore.optimizers.rules.rule import Rule


def _all() -> Iterator[Rule]:
    package = optcore.optimizers.rules
    for module in iter_modules(package.__path__, f"{package.__name__}."):
        if module.name != __name__:
            named = vars(import_module(module.name)).values()
            yield from (each for each in named if isinstance(each, Rule))


RULES: dict[str, Rule] = {rule.kind: rule for rule in _all()}
"""Name of an optimizer, such as ``adam`` -> its update rule."""
