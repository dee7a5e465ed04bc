"""All metrics: those of this package, one per file, and those of installed packages."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import optcore.metrics
from optcore.metrics.base import Metric
from optcore.packages.entry_points import NAMES, installed
from optcore.spec.tasks.tasks import Task

GROUP = "optserve.metrics"
"""Group of the entry points by which other installed packages add metrics, each a `Metric`."""


@cache
def metrics() -> dict[str, type[Metric]]:
    """
    Return name -> metric: the loss first, the others in the order of their names.

    Metrics of installed packages that cannot be used are left out
    (`optcore.packages.entry_points.problems`).
    """
    found = {each.NAME: each for each in _own()}

    def check(each: object) -> None:
        if not (isinstance(each, type) and issubclass(each, Metric)):
            raise TypeError(
                f"must be a class derived from {Metric.__module__}.Metric, got {each!r}"
            )
        name = getattr(each, "NAME", None)
        if not isinstance(name, str) or not NAMES.fullmatch(name):
            raise TypeError(f"NAME of {each.__name__} must match {NAMES.pattern}, got {name!r}")
        if name in found:
            other = f"{found[name].__module__}.{found[name].__name__}"
            raise TypeError(f"NAME must not be the name of {other}, got {name!r}")
        found[name] = each

    installed(GROUP, check)
    return dict(sorted(found.items(), key=lambda item: (item[0] != "loss", item[0])))


def metrics_of(task: Task) -> dict[str, type[Metric]]:
    """Return name -> metric, for the metrics that are defined for *task*."""
    return {name: each for name, each in metrics().items() if task in each.TASKS}


def _own() -> list[type[Metric]]:
    """Return the metrics of this package: the subclasses of `Metric` that have a `NAME`."""
    modules = [
        import_module(f"{optcore.metrics.__name__}.{module.name}")
        for module in iter_modules(optcore.metrics.__path__)
        if module.name != "catalogue"
    ]
    return [
        each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type)
        and issubclass(each, Metric)
        and each.__module__ == module.__name__
        and hasattr(each, "NAME")
    ]
