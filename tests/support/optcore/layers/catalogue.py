"""The cases of all layers: every file of this folder is imported."""

from importlib import import_module
from pkgutil import iter_modules

from tests.support.optcore import layers
from tests.support.optcore.layers.case import CASES, Case

for module in iter_modules(layers.__path__, f"{layers.__name__}."):
    if module.name != __name__:
        import_module(module.name)

__all__ = ["CASES", "Case"]
