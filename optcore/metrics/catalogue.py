"""All metrics: those of this package, one per file, and those of installed packages."""

from __future__ import annotations

import re
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pkgutil import iter_modules

import optcore.metrics
from optcore.metrics.base import Metric
from optcore.spec.tasks.tasks import Task

NAMES = re.compile(r"[a-z][a-z0-9_]{0,63}")
GROUP = "optserve.metrics"
"""Group of the entry points by which other installed packages add metrics, each a `Metric`."""


@cache
def metrics() -> dict[str, type[Metric]]:
    """
    Return name -> metric: the loss first, the others in the order of their names.

    Raises:
        TypeError: an entry point is not a metric. Or the name of a metric is not allowed, or is the
            name of another metric.
    """
    found: dict[str, type[Metric]] = {}
    for each in (*_own(), *(entry.load() for entry in entry_points(group=GROUP))):
        if not (isinstance(each, type) and issubclass(each, Metric)):
            raise TypeError(f"an entry point of {GROUP} must be a Metric, got {each!r}")
        name, where = getattr(each, "NAME", None), f"{each.__module__}.{each.__qualname__}"
        if not isinstance(name, str) or not NAMES.fullmatch(name):
            raise TypeError(f"NAME of {where} must match {NAMES.pattern}, got {name!r}")
        if found.setdefault(name, each) is not each:
            other = f"{found[name].__module__}.{found[name].__qualname__}"
            raise TypeError(
                f"metrics must have different names, got {name!r} in {other} and {where}"
            )
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
