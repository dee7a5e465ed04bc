"""The base of all specs: strict parsing, plain errors, defaults that depend on the dialect."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal, Self, TypeVar, get_args

from annotated_types import Gt
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from optcore.spec.errors import (
    MORE,
    MOST_PROBLEMS,
    RULE,
    SpecError,
    did_you_mean,
    first_of,
    short_repr,
)
from optcore.spec.limits import are_lifted, lifted, parsed_without

Dialect = Literal["torch", "paddle", "paddleocr", "mindspore", "keras", "tf1", "article"]
"""Whose math, defaults and rounding a name means."""

Defaults = Mapping[str, float | bool | str | None]
"""Dialect -> default."""


class Spec(BaseModel):
    """
    Base of every spec: unknown fields, wrong types, NaN and infinities are errors.

    Build one with `parse`; its errors are `SpecError`.
    """

    model_config = ConfigDict(
        extra="forbid",
        # JSON has types of its own: a string is no number and true is no 1, whatever Python
        # converts.
        strict=True,
        # Specs are shared: as the defaults of fields, and by caches.
        frozen=True,
        allow_inf_nan=False,
        # The texts below fields are those of OpenAPI, of the catalogue and of docs/optimizers.
        use_attribute_docstrings=True,
        ser_json_inf_nan="strings",
    )

    FORMER_PLACES: ClassVar[Mapping[str, Callable[[object], str]]] = {}
    """Field that belongs elsewhere -> what is said of it, by its value."""

    @classmethod
    def parse(cls, data: object) -> Self:
        """Return *data* (a mapping or a spec) as a spec, or raise `SpecError`."""
        try:
            if are_lifted():
                return parsed_without(cls, data)
            return cls.model_validate(data)
        except ValidationError as error:
            raise SpecError.of(error, data) from None

    @classmethod
    def parse_accepted(cls, data: object) -> Self:
        """Return *data* as a spec if any release may have accepted it: without limits if needed."""
        try:
            return cls.parse(data)
        except SpecError:
            with lifted():
                return cls.parse(data)

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401
        # This runs for each nested spec, since only the class that has the fields can name the
        # right ones. The levels above pass its sentences on.
        known, left_out = _without_most_unknown(cls, data)
        try:
            return handler(known)
        except ValidationError as error:
            told, more = first_of(error.errors(include_url=False))
            explained = [_explained(cls, e) for e in told]
            if more + left_out:
                explained.append(_further(more + left_out))
            raise ValidationError.from_exception_data(error.title, explained) from None


AnySpec = TypeVar("AnySpec", bound=Spec)


def per_dialect(defaults: Defaults, **limits: float) -> Any:  # noqa: ANN401
    """
    Return a pydantic field whose default depends on the spec's dialect.

    Args:
        defaults: dialect -> default, None where it must be given. Where a dialect is missing,
            the field does not exist in it: the spec holds the first default, and naming the
            field is an error.
        limits: pydantic's gt, ge, lt and le.
    """
    # pydantic validates fields in their order, those of the base class first, so `dialect` is there
    # before any field that needs it. If it is wrong, the factory is not called, and pydantic adds
    # an error that `first_of` drops.
    fallback = next(iter(defaults.values()))
    factory: Callable[[dict[str, Any]], Any] = lambda data: defaults.get(  # noqa: E731
        data["dialect"], fallback
    )
    bounds: dict[str, Any] = dict(limits)
    return Field(default_factory=factory, json_schema_extra={"defaults": dict(defaults)}, **bounds)


def dialects_of(cls: type[Spec], name: str) -> Defaults | None:
    """Return the defaults per dialect of the field *name*, or None if it has a single one."""
    extra = cls.model_fields[name].json_schema_extra
    return extra.get("defaults") if isinstance(extra, dict) else None  # type: ignore[return-value]


def by_kind(union: Any, base: type[AnySpec]) -> dict[str, type[AnySpec]]:  # noqa: ANN401
    """
    Return the classes of *union* by the value of their field ``kind``, in order of it.

    Args:
        union: ``Annotated[A | B, Field(discriminator="kind")]``.
        base: what its classes have in common.
    """
    found: dict[str, type[AnySpec]] = {}
    for cls in get_args(get_args(union)[0]):
        assert issubclass(cls, base)
        found[kind_of(cls)] = cls
    return dict(sorted(found.items()))


def kind_of(cls: type[Spec]) -> str:
    """Return the value of the field ``kind`` that tells *cls* apart from others."""
    (kind,) = get_args(cls.model_fields["kind"].annotation)
    return str(kind)


def _without_most_unknown(cls: type[Spec], data: object) -> tuple[object, int]:
    """
    Return *data* without the unknown fields beyond those that get a message, and their number.

    Otherwise pydantic makes an error for each of 80,000, at every level of the spec.
    """
    most = len(cls.model_fields) + MOST_PROBLEMS
    # Few enough for pydantic to name them all. Where extra fields are allowed (Group) they are
    # hyperparameters, which the optimizer's class checks.
    if not isinstance(data, dict) or len(data) <= most or cls.model_config["extra"] != "forbid":
        return data, 0
    known = {field.alias or name for name, field in cls.model_fields.items()}
    unknown = [name for name in data if name not in known]
    left_out = set(unknown[MOST_PROBLEMS:])
    return {name: value for name, value in data.items() if name not in left_out}, len(left_out)


def _further(number: int) -> InitErrorDetails:
    """Return the error that stands for *number* further ones."""
    kind = PydanticCustomError(MORE, "and {number} more", {"number": number})
    return InitErrorDetails(type=kind, loc=(), input=None)


def _unknown(cls: type[Spec], name: str, value: object) -> str:
    """Return what is said of the unknown field *name*."""
    if name in cls.FORMER_PLACES:
        return cls.FORMER_PLACES[name](value)
    known = [field.alias or own for own, field in cls.model_fields.items()]
    return f"unknown field {short_repr(name)}{did_you_mean(name, known)} ({', '.join(known)})"


def _explained(cls: type[Spec], error: ErrorDetails) -> InitErrorDetails:
    """Return *error* with what only the class has: field names and their limits."""
    details = InitErrorDetails(type=error["type"], loc=error["loc"], input=error["input"])
    if error["type"] == RULE:
        details["type"] = PydanticCustomError(RULE, error["msg"])
    # pydantic makes the message of a bound or a length from its context.
    elif "ctx" in error:
        details["ctx"] = error["ctx"]
    # A deeper error was explained by the class that has the field.
    if len(error["loc"]) != 1:
        return details
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        details["type"] = PydanticCustomError(RULE, _unknown(cls, name, error["input"]))
    # pydantic asks whether a number is finite before it compares. NaN breaks the field's own rule
    # (lr must be positive), so that is what the message says; an infinity is not finite.
    elif error["type"] == "finite_number" and math.isnan(error["input"]):
        bounds = cls.model_fields[name].metadata
        if any(isinstance(bound, Gt) and bound.gt == 0 for bound in bounds):
            details["type"], details["ctx"] = "greater_than", {"gt": 0}
    return details
