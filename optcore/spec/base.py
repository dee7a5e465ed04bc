"""The base of all specs: strict parsing, plain errors, defaults that depend on the dialect."""

from __future__ import annotations

import ast
import inspect
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from functools import cache, partial
from itertools import islice, pairwise
from typing import Any, ClassVar, Literal, Self, cast, get_args

from annotated_types import Gt
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, ErrorDetails, InitErrorDetails, PydanticCustomError

from optcore.spec.errors import (
    MORE,
    MOST_PROBLEMS,
    RULE,
    UNKNOWN,
    SpecError,
    did_you_mean,
    first_of,
    short_repr,
)
from optcore.spec.limits import are_lifted, lifted, parsed_without

Dialect = Literal[
    "torch",
    "paddle",
    "paddleocr",
    "mindspore",
    "keras",
    "tf1",
    "article",
    "optax",
    "transformers",
    "timm",
    "bitsandbytes",
]
"""A framework whose math, defaults and rounding a spec follows, or ``article``: a published
description of the optimizer, or its author's code."""

Defaults = Mapping[str, float | bool | str | None]
"""Maps a dialect to the default of a field in that dialect."""

# A megabyte may hold 2,000 layers with 30 mistakes each, and to explain one takes 20 us. Per
# context, as several threads parse specs.
_told: ContextVar[int | None] = ContextVar("told", default=None)
"""Number of mistakes that have a message so far, in all specs that are validated together."""


class Spec(BaseModel):
    """
    The base of all specs: unknown fields, wrong types, NaN and infinities are errors.

    Build a spec with `parse`, which raises `SpecError`.
    """

    model_config = ConfigDict(
        extra="forbid",
        # JSON has its own types: a string is not a number, and true is not 1, although Python
        # would convert them.
        strict=True,
        # Specs are shared: they are the defaults of fields, and caches hold them.
        frozen=True,
        allow_inf_nan=False,
        ser_json_inf_nan="strings",
    )

    FORMER_PLACES: ClassVar[Mapping[str, Callable[[object], str]]] = {}
    """Maps a field that has moved elsewhere to a function from its value to the error message."""

    @classmethod
    def parse(cls, data: object) -> Self:
        """Return the spec parsed from *data* (a mapping or a spec), or raise `SpecError`."""
        # A validator may parse another spec, and needs at least one message if that is refused.
        before = _told.set(None)
        try:
            if are_lifted():
                return parsed_without(cls, data)
            return cls.model_validate(data)
        except ValidationError as error:
            raise SpecError.of(error, data) from None
        finally:
            _told.reset(before)

    @classmethod
    def parse_accepted(cls, data: object) -> Self:
        """
        Return the spec parsed from *data*, or raise `SpecError`.

        *data* may come from an earlier release without limits on sizes. If *data* is refused, it is
        parsed again without these limits.
        """
        try:
            return cls.parse(data)
        except SpecError:
            with lifted():
                return cls.parse(data)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        """Return the JSON Schema, in which each field has the text below it as description."""
        schema = handler(core_schema)
        properties = handler.resolve_ref_schema(schema).get("properties", {})
        for name, text in field_docs(cls).items():
            key = cls.model_fields[name].alias or name
            if key in properties:
                properties[key]["description"] = text
        return schema

    def default_of(self, name: str) -> object:
        """
        Return the default of the field *name*, which may depend on this spec's other fields.

        Do not change the result: several calls may return the same list or object.
        """
        fixed = fixed_defaults(type(self))
        if name in fixed:
            return fixed[name]
        # Called here, since `FieldInfo.get_default` looks at the factory's signature first.
        return _factories(type(self))[name](dict(self))

    @model_validator(mode="wrap")
    @classmethod
    def _explain(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:  # noqa: ANN401
        # This runs for each nested spec, since only the class that has the fields can suggest the
        # right names. The levels above pass its messages on.
        outer = _told.get()
        before = outer or 0  # None in the spec around all others
        known, more = _without_most_unknown(cls, data, MOST_PROBLEMS - before)
        _told.set(before)
        try:
            found = handler(known)
        except ValidationError as error:
            told, others = first_of(error.errors(include_url=False), MOST_PROBLEMS - before)
            more += others
            _told.set(before + len(told))  # those of the specs inside are among them
            if told:
                explained = [_explained(cls, each) for each in told]
                if more:
                    explained.append(InitErrorDetails(type=_further(more), loc=(), input=None))
                raise ValidationError.from_exception_data(error.title, explained) from None
        else:
            if not more:
                return found
        finally:
            if outer is None:
                _told.set(None)
        raise _further(more)


def per_dialect(defaults: Defaults, **limits: float) -> Any:  # noqa: ANN401
    """
    Return a pydantic field whose default depends on the spec's dialect.

    Args:
        defaults: the default of the field in each dialect; None if the field is required in that
            dialect. In a dialect without an entry, the field does not exist: giving the field is
            an error, and the spec holds the first of *defaults*.
        limits: pydantic's bounds gt, ge, lt and le.
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


def fields_of(cls: type[BaseModel]) -> Mapping[str, FieldInfo]:
    """Return the fields of *cls*, by name."""
    # `model_fields` takes 1 us, and a submission needs the fields of its specs some 50 times.
    return cls.__pydantic_fields__


# pydantic looks at the signature of a factory in each call, which takes 15 us; a network may have
# thousands of layers.
@cache
def fixed_defaults(cls: type[BaseModel]) -> Mapping[str, object]:
    """Return the defaults of those fields of *cls* whose default depends on no other field."""
    return {
        name: field.get_default(call_default_factory=True)
        for name, field in fields_of(cls).items()
        if not field.default_factory_takes_validated_data
    }


@cache
def _factories(cls: type[BaseModel]) -> Mapping[str, Callable[[dict[str, Any]], object]]:
    """Return the functions that make those defaults of *cls* that depend on other fields."""
    return {
        name: cast("Callable[[dict[str, Any]], object]", field.default_factory)
        for name, field in fields_of(cls).items()
        if field.default_factory_takes_validated_data
    }


def value_of(spec: BaseModel, name: str, default: Any) -> Any:  # noqa: ANN401
    """Return the value of a field, or *default* if the class of *spec* has no such field."""
    # `getattr` with a default takes 2 us for a name that is missing.
    return getattr(spec, name) if name in fields_of(type(spec)) else default


@cache
def dialects_of(cls: type[Spec], name: str) -> Defaults | None:
    """Return dialect -> default of the field *name*; None if all dialects have the same default."""
    extra = cls.model_fields[name].json_schema_extra
    return extra.get("defaults") if isinstance(extra, dict) else None  # type: ignore[return-value]


def field_docs(cls: type[Spec]) -> Mapping[str, str]:
    """Return name -> description, for each field of *cls* with a text below it in the source."""
    # Not by pydantic's use_attribute_docstrings, which reads the source of every class when it is
    # imported: a quarter of the time to import all specs, and only a few requests need the texts.
    found: dict[str, str | None] = {}
    for base in reversed(cls.__mro__):
        if issubclass(base, Spec):
            found |= _texts(base.__module__).get(base.__name__, {})
    return {name: text for name, text in found.items() if text and name in cls.model_fields}


@cache
def _texts(module: str) -> Mapping[str, Mapping[str, str | None]]:
    """Return, for *module*, class name -> annotated name -> the text below the name, or None."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (OSError, TypeError, KeyError, SyntaxError):  # no source, as in an interactive session
        return {}
    classes = (node for node in ast.walk(tree) if isinstance(node, ast.ClassDef))
    return {node.name: dict(_texts_in(node)) for node in classes}


def _texts_in(node: ast.ClassDef) -> Iterator[tuple[str, str | None]]:
    for field, below in pairwise([*node.body, None]):
        match field, below:
            case (
                ast.AnnAssign(target=ast.Name(id=name)),
                ast.Expr(value=ast.Constant(value=str(text))),
            ):
                yield name, inspect.cleandoc(text)
            # A field that is declared again has only its own text.
            case ast.AnnAssign(target=ast.Name(id=name)), _:
                yield name, None


def kind_of(cls: type[Spec]) -> str:
    """Return the only value that the field ``kind`` of *cls* accepts."""
    (kind,) = get_args(cls.model_fields["kind"].annotation)
    return str(kind)


def _without_most_unknown(cls: type[Spec], data: object, most: int) -> tuple[object, int]:
    """
    Return *data* without unknown fields beyond the first *most*, and the number of those left out.

    pydantic makes an error for every unknown field at every level of the spec. A request may have
    80,000 unknown fields, of which only `MOST_PROBLEMS` get a message.
    """
    # If there are few fields, pydantic can name them all. In a Group, extra fields are allowed:
    # they are hyperparameters, which the optimizer's class checks.
    if not isinstance(data, dict) or cls.model_config["extra"] != "forbid" or len(data) <= most:
        return data, 0
    names = _names_of(cls)
    known = {name: data[name] for name in names if name in data}
    known |= {name: data[name] for name in islice((n for n in data if n not in names), most)}
    return known, len(data) - len(known)


@cache
def _names_of(cls: type[Spec]) -> frozenset[str]:
    """Return the names that the fields of *cls* have in JSON."""
    return frozenset(field.alias or name for name, field in fields_of(cls).items())


def _further(number: int) -> PydanticCustomError:
    """Return the error that stands for *number* further errors."""
    return PydanticCustomError(MORE, "and {number} more", {"number": number})


def _unknown(cls: type[Spec], name: str, value: object) -> str:
    """Return the error message about the unknown field *name* with the value *value*."""
    if name in cls.FORMER_PLACES:
        return cls.FORMER_PLACES[name](value)
    known = [field.alias or own for own, field in cls.model_fields.items()]
    near = did_you_mean(name, known, kind=_name_of(cls), paths=True)
    return f"unknown field {short_repr(name)}{near} (known: {', '.join(known)})"


def _name_of(cls: type[Spec]) -> str:
    """Return the kind of *cls*, or the name of the class if it has no kind or several kinds."""
    kinds = get_args(cls.model_fields["kind"].annotation) if "kind" in cls.model_fields else ()
    return str(kinds[0]) if len(kinds) == 1 else cls.__name__


def _explained(cls: type[Spec], error: ErrorDetails) -> InitErrorDetails:
    """Return *error*, explained with the names and limits of the fields of *cls*."""
    details = InitErrorDetails(type=error["type"], loc=error["loc"], input=error["input"])
    if error["type"] == RULE:
        details["type"] = PydanticCustomError(RULE, error["msg"])
    elif error["type"] == UNKNOWN:
        details["type"] = PydanticCustomError(UNKNOWN, error["msg"], error["ctx"])
    # pydantic makes the message of a bound or a length from its context.
    elif "ctx" in error:
        details["ctx"] = error["ctx"]
    # A deeper error was explained by the class that has the field.
    if len(error["loc"]) != 1:
        return details
    name = str(error["loc"][0])
    if error["type"] == "extra_forbidden":
        tell = partial(_unknown, cls, name, error["input"])
        details["type"] = PydanticCustomError(UNKNOWN, "unknown field", {"tell": tell})
    # pydantic checks that a number is finite before it checks the bounds. The message about NaN
    # states the field's own rule (lr must be positive); the message about infinity says finite.
    elif error["type"] == "finite_number" and math.isnan(error["input"]):
        bounds = cls.model_fields[name].metadata
        if any(isinstance(bound, Gt) and bound.gt == 0 for bound in bounds):
            details["type"], details["ctx"] = "greater_than", {"gt": 0}
    return details
