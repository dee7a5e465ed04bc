"""
Transforms of the gradient before an update rule, and of the parameter before and after it.

Transforms are written like a rule and traced together with it, so that unscaling, clipping,
regularization and the update take a single pass over memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Size, Tensor

from optcore.optimizers.rules.rule import COPY, Flags, Numbers, Rule, agreement

AVERAGE = "average"
"""Name of the slot that holds the moving average of a parameter."""


@dataclass(frozen=True)
class Transforms:
    """
    Which transforms are applied around a rule. Those of the gradient run in the order given here.

    Attributes:
        scaled: whether the gradient is multiplied by ``grad_scale``, to unscale and clip it.
        clamped: whether each element of the gradient is limited to ``clip_min`` .. ``clip_max``.
        maximize: whether the gradient is negated.
        regularized: whether weight_decay * param is added to the gradient (False if the rule or
            the kernel applies weight decay itself).
        decoupled: whether the parameter is multiplied by 1 - lr * weight_decay before the rule.
        averaged: whether a moving average of the parameter is maintained, with the momentum
            ``average_momentum``.
        overwrite_every: number of updates after which the parameter is set to its average, again
            and again; 0 for never.
        cautious: whether the step is set to 0 in coordinates where its sign differs from the
            gradient's, and multiplied by ``mask_scale`` in all other coordinates.
    """

    scaled: bool = False
    clamped: bool = False
    maximize: bool = False
    regularized: bool = True
    decoupled: bool = False
    averaged: bool = False
    overwrite_every: int = 0
    cautious: bool = False

    @property
    def arguments(self) -> list[str]:
        """Names of the numbers that the transforms take as arguments."""
        names = ["l1", "l2"]
        if self.scaled:
            names.append("grad_scale")
        if self.clamped:
            names += ["clip_min", "clip_max"]
        if self.regularized or self.decoupled:
            names.append("weight_decay")
        if self.decoupled:
            names.append("lr")
        if self.cautious:
            names.append("mask_scale")
        if self.averaged:
            names += ["average_momentum", "overwrite"]
        return names


def with_transforms(rule: Rule, transforms: Transforms) -> Rule:
    """Return *rule* with *transforms* applied around it."""
    taken = arguments(rule.update)

    # **given are numbers and flags, which each rule types for itself.
    # Positional only, for a rule may have numbers of these names.
    def update(param: Tensor, grad: Tensor, /, *slots: Tensor, **given: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
        own, average = (slots[:-1], slots[-1]) if transforms.averaged else (slots, None)
        if rule.shapes is None:
            param, grad = _before(param, grad, given, transforms)
        else:
            # In place: a rule that is not traced would hold another copy of a large matrix.
            grad = _regularized(param, grad, given, transforms)
            _shrunk(param, given, transforms, out=param)
        if transforms.cautious:
            step, *results = _step(rule, param, grad, own, _left(given, transforms))
            moved = torch.addcmul(param, step, agreement(step, grad), value=-given["mask_scale"])
            results.insert(0, moved)
        else:
            results = list(rule.update(param, grad, *own, **taken(_left(given, transforms))))
        if average is None:
            return tuple(results)
        mean = torch.lerp(results[0], average, given["average_momentum"])
        return (mean if given["overwrite"] else results[0], *results[1:], mean)

    # **given as above.
    def norms(param: Tensor, grad: Tensor, /, *slots: Tensor, **given: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
        assert rule.norms is not None
        own = slots[:-1] if transforms.averaged else slots
        param, grad = _before(param, grad, given, transforms)
        return rule.norms(param, grad, *own, **_left(given, transforms))

    # **given as above.
    def masks(param: Tensor, grad: Tensor, *slots: Tensor, **given: Any) -> Tensor:  # noqa: ANN401
        own = slots[:-1] if transforms.averaged else slots
        param, grad = _before(param, grad, given, transforms)
        if rule.masks is not None:
            return rule.masks(param, grad, *own, **_left(given, transforms))
        return agreement(_step(rule, param, grad, own, _left(given, transforms))[0], grad)

    # **given as above.
    def together(
        params: list[Tensor],
        grads: list[Tensor],
        /,
        *slots: list[Tensor],
        **given: Any,  # noqa: ANN401
    ) -> None:
        assert rule.together is not None
        if _changes(given, transforms):
            pairs = zip(params, grads, strict=True)
            grads = [_regularized(param, grad, given, transforms) for param, grad in pairs]
            for param in params:
                _shrunk(param, given, transforms, out=param)
        rule.together(params, grads, *slots, **taken(_left(given, transforms)))

    # Engines read the arguments of a rule from its signature; PEP 362 lets a function set one.
    update.__signature__ = _signature(rule.update, transforms)  # type: ignore[attr-defined]
    changed = replace(
        rule,
        update=update,
        norms=norms if rule.norms is not None else None,
        masks=masks if rule.masks is not None or transforms.cautious else None,
        together=None if rule.together is None or transforms.averaged else together,
    )
    return _averaging(changed, transforms) if transforms.averaged else changed


def _step(
    rule: Rule, param: Tensor, grad: Tensor, slots: Sequence[Tensor], given: dict[str, Any]
) -> tuple[Tensor, ...]:
    """Return what *rule* subtracts from *param*, and the new slots."""
    # Updating a parameter of 0 gives the negative step with all its digits. (The difference of the
    # parameters before and after would be 0 for a step that rounding hides, and so would the mask.)
    still, *slots = rule.update(param * 0, grad, *slots, **only(given, rule.update))
    return -still, *slots


def _before(
    param: Tensor, grad: Tensor, given: dict[str, Any], transforms: Transforms
) -> tuple[Tensor, Tensor]:
    """
    Return *param* and *grad* after the transforms, as the rule gets them.

    ::

        grad  = grad * grad_scale                                 if scaled
        grad  = clamp(grad, clip_min, clip_max)                   if clamped
        grad  = -grad                                             if maximize
        grad  = grad + weight_decay * param                       if regularized
        grad  = grad + l1 * sign(param) + l2 * param
        param = param - lr * weight_decay * param                 if decoupled

    The conditions are attributes of *transforms*; the other names are entries of *given*.
    """
    grad = _regularized(param, grad, given, transforms)
    return _shrunk(param, given, transforms), grad


def _regularized(
    param: Tensor, grad: Tensor, given: dict[str, Any], transforms: Transforms
) -> Tensor:
    # First, in every dialect: regularization is added after clipping, and is not clipped.
    grad = limited(grad, given, transforms)
    # Before the decay, as in torch: the decay shrinks weights even if the loss is maximized.
    if transforms.maximize:
        grad = -grad
    if transforms.regularized and given["weight_decay"]:
        grad = torch.add(grad, param, alpha=given["weight_decay"])
    if given["l1"]:
        grad = torch.add(grad, param.sign(), alpha=given["l1"])
    if given["l2"]:
        grad = torch.add(grad, param, alpha=given["l2"])
    return grad


def _shrunk(
    param: Tensor, given: dict[str, Any], transforms: Transforms, out: Tensor | None = None
) -> Tensor:
    if not (transforms.decoupled and given["weight_decay"]):
        return param
    keep = 1 - given["lr"] * given["weight_decay"]
    return param * keep if out is None else torch.mul(param, keep, out=out)


def _changes(given: Mapping[str, Any], transforms: Transforms) -> bool:
    """Return whether *transforms* change any gradient or parameter before the rule."""
    decays = (transforms.regularized or transforms.decoupled) and given["weight_decay"]
    return bool(
        transforms.scaled
        or transforms.clamped
        or transforms.maximize
        or decays
        or given["l1"]
        or given["l2"]
    )


def limited(grad: Tensor, given: Mapping[str, Any], transforms: Transforms) -> Tensor:
    """Return *grad*, unscaled and clipped: the result of the first two transforms."""
    if transforms.scaled:
        grad = grad * given["grad_scale"]
    if transforms.clamped:
        grad = grad.clamp(given["clip_min"], given["clip_max"])
    return grad


def _left(given: dict[str, Any], transforms: Transforms) -> dict[str, Any]:
    """Return *given*, with a weight_decay of 0 if a transform has applied the decay."""
    done = transforms.regularized or transforms.decoupled
    return {**given, "weight_decay": 0.0} if done else given


def arguments(update: Callable[..., Any]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return a function that drops those numbers and flags that *update* does not take."""
    # The signature is read once: reading it takes longer than an update of a small parameter.
    parameters = inspect.signature(update).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return lambda given: given
    return lambda given: {name: value for name, value in given.items() if name in parameters}


def only(given: dict[str, Any], update: Callable[..., Any]) -> dict[str, Any]:
    """Return the entries of *given* (numbers and flags) that *update* takes as arguments."""
    return arguments(update)(given)


def _signature(update: Callable[..., Any], transforms: Transforms) -> inspect.Signature:
    """Return the signature of *update*, extended by the arguments of *transforms*."""
    signature = inspect.signature(update)
    parameters = dict(signature.parameters)
    rest = {
        name: parameters.pop(name)
        for name in list(parameters)
        if parameters[name].kind is inspect.Parameter.VAR_KEYWORD
    }
    for name in transforms.arguments:
        if name not in parameters:
            parameters[name] = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY)
    return signature.replace(parameters=[*parameters.values(), *rest.values()])


def _averaging(rule: Rule, transforms: Transforms) -> Rule:
    """Return *rule* with the moving average of the parameter as its last slot."""

    def slots(numbers: Numbers, flags: Flags) -> dict[str, float]:
        return {**rule.slots(numbers, flags), AVERAGE: COPY}

    def scalars(t: int, numbers: Numbers, flags: Flags) -> dict[str, float]:
        every = transforms.overwrite_every
        return {
            **rule.scalars(t, numbers, flags),
            # Keras's first average is the parameter after its first update.
            "average_momentum": 0.0 if t == 1 else numbers["average_momentum"],
            # A number, not a flag, since it changes with t. Engines trace one program for 0 and one
            # for 1.
            "overwrite": float(every > 0 and t % every == 0),
        }

    def evaluated(param: Tensor, *slots: Tensor, **numbers: float) -> Tensor:
        return slots[-1]

    def shapes(shape: Size, numbers: Numbers) -> dict[str, tuple[int, ...]]:
        assert rule.shapes is not None
        return {**rule.shapes(shape, numbers), AVERAGE: tuple(shape)}

    return replace(
        rule,
        slots=slots,
        scalars=scalars,
        shapes=shapes if rule.shapes is not None else None,
        evaluated=evaluated,
    )
