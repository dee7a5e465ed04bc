"""Checks of an optimizer's fields against its dialect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optcore.spec.base import dialects_of, fields_of
from optcore.spec.errors import reject
from optcore.spec.optimizers.rounded import check_rounded

if TYPE_CHECKING:
    from optcore.spec.optimizers.base import OptimizerSpec


def check_dialect(spec: OptimizerSpec) -> None:
    """
    Raise an error if *spec* does not fit its dialect.

    The optimizer must exist in the dialect, and so must each field that is given. A field without a
    default in the dialect must be given. A number that the dialect rounds to float32 must stay in
    its range.
    """
    if spec.dialect not in spec.DIALECTS:
        reject(
            ["dialect"],
            f"dialect of {spec.kind} must be one of {', '.join(spec.DIALECTS)}, "
            f"got {spec.dialect!r}{spec.ELSEWHERE.get(spec.dialect, '')}",
            spec.dialect,
        )
    for name in spec.model_fields_set:
        if not spec.has_field(name):
            reject(
                [name],
                f"{name} does not exist for {spec.kind} in dialect {spec.dialect}, "
                f"only in {', '.join(dialects_of(type(spec), name) or ())}",
                getattr(spec, name),
            )
    for name in fields_of(type(spec)):
        # A default of None means required: pydantic does not validate defaults.
        if getattr(spec, name) is None and dialects_of(type(spec), name) is not None:
            reject(
                [name],
                f"{name} is required: {spec.kind} has no default in dialect {spec.dialect}",
                None,
            )
    # For runs in float64 too: the optimizer's spec does not know the precision of its run.
    # muon's beta2 is not a field of muon: the spec of its AdamW checks it.
    for name in spec.rounded(single_precision=True) & type(spec).model_fields.keys():
        check_rounded(spec, name)
