"""
Optimizers, learning rate schedules and the training loop of optserve.

The package has two functions. Each is imported when it is first used, so that the package itself
can be imported without torch::

    make_optimizer(named_parameters, spec)  ->  a torch.optim.Optimizer
    make_schedule(spec, lr=, total_steps=)  ->  a function from the step t to the learning rate
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optcore.optimizers.make import make_optimizer
    from optcore.schedules.make import make_schedule

__all__ = ["make_optimizer", "make_schedule"]

_HOMES = {
    "make_optimizer": "optcore.optimizers.make",
    "make_schedule": "optcore.schedules.make",
}


# PEP 562. Eager imports would pull torch into the client and the API, which do without it.
def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
