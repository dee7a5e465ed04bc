"""The worst that may be posted: for every field of every body, a mebibyte of what it is not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

REF = "#/components/schemas/"
ALMOST_A_BODY = 1_040_000
"""Bytes of what is put into a field: the rest of the body has room beside it."""
PARTS = 9_900
"""Objects that a body may have beside those around the field."""
DEEPEST = 26
"""How deep something in a field may nest, wherever that is."""
EXAMPLES: Mapping[str, dict[str, Any]] = {
    "EarlyStopping": {"patience": 3},
    "Group": {"match": "*"},
    "Training": {"steps": 20},
}
"""What a model needs that its schema does not tell."""

Schema = Mapping[str, Any]
NO_RULES = ("title", "description", "default", "examples")
"""What a field's schema says that does not change how its value is checked."""


@dataclass(frozen=True)
class Field:
    """
    A field of a body.

    Attributes:
        name: its model's and its own.
        around: returns a body in which the field has a value.
        kind: its own name, and what it takes: many optimizers have the same field.
    """

    name: str
    around: Callable[[object], object]
    kind: str

    def body(self, value: object) -> bytes:
        """Return a body in which the field has *value*."""
        return json.dumps(self.around(value), separators=(",", ":")).encode()


def _nested(inner: object, around: Callable[[object], object]) -> object:
    for _ in range(DEEPEST):
        inner = around(inner)
    return inner


def _filled(entry: object) -> list[object]:
    length = len(json.dumps(entry, separators=(",", ":"))) + 1
    return [entry] * (ALMOST_A_BODY // length)


WORST: Mapping[str, object] = {
    "a string": "x" * ALMOST_A_BODY,
    "wildcards": "*a" * (ALMOST_A_BODY // 2),
    "numbers": _filled(0),
    "wrong numbers": _filled(-1),
    "strings": _filled("a"),
    "globs": _filled("*a*b*c*"),
    "objects": [{}] * PARTS,
    "schedules": [{"kind": "rex"}] * PARTS,
    "wrong names": {f"f{i}": 1 for i in range(75_000)},
    "long names": {f"{i}" * 100_000: 1 for i in range(9)},
    "wrong names in objects": [{f"f{i}": 1 for i in range(300)}] * 400,
    "nested lists": _nested(1, lambda inner: [inner]),
    "nested schedules": _nested(
        {"kind": "rex"}, lambda inner: {"kind": "scale", "factor": 1.0, "schedule": inner}
    ),
    "many in many": {
        "kind": "product",
        "schedules": [{"kind": "product", "schedules": [{"kind": "cosine"}] * 98}] * 98,
    },
    "a huge integer": 10**4000,
    "a huge negative integer": -(10**4000),
    "an integer of 64 bits": 2**63,
    "a huge number": 1.7e308,
    "a huge negative number": -1.7e308,
    "the smallest number": 5e-324,
    "minus one": -1,
    "nothing": None,
}
"""What a field may be given."""


class Bodies:
    """
    The bodies that a service takes, as its OpenAPI document describes them.

    Attributes:
        routes: path -> schema of the body.
    """

    def __init__(self, document: Schema) -> None:
        self._schemas: Schema = document["components"]["schemas"]
        self.routes = {
            path: operation["requestBody"]["content"]["application/json"]["schema"]
            for path, operations in document["paths"].items()
            for operation in operations.values()
            if "requestBody" in operation
        }

    def fields(self, path: str) -> Iterator[Field]:
        """Yield every field of every model that a body may hold, each in one place."""
        yield from self._fields(self.routes[path], lambda value: value, set())

    def _fields(
        self, schema: Schema, around: Callable[[object], object], seen: set[str]
    ) -> Iterator[Field]:
        name, schema = self._resolved(schema)
        if name in seen:
            return
        seen |= {name} - {""}
        for one in _choices(schema):
            yield from self._fields(one, around, seen)
        known = schema.get("properties", {})
        needed = {n: self._least(known[n]) for n in known if n in schema.get("required", ["kind"])}
        base = {**needed, **EXAMPLES.get(name, {})}
        for field, inner in known.items():

            def within(value: object, field: str = field) -> object:
                return around({**base, field: value})

            taken = {key: value for key, value in inner.items() if key not in NO_RULES}
            kind = json.dumps([field, taken], sort_keys=True)
            yield Field(f"{name}.{field}", within, kind)
            yield from self._fields(inner, within, seen)
        if isinstance(schema.get("items"), dict):
            yield from self._fields(schema["items"], lambda value: around([value]), seen)
        if isinstance(schema.get("additionalProperties"), dict):
            inner = schema["additionalProperties"]
            yield from self._fields(inner, lambda value: around({"lr": value}), seen)

    def _least(self, schema: Schema) -> object:
        """Return the least that *schema* takes."""
        name, schema = self._resolved(schema)
        for one in _choices(schema):
            return self._least(one)
        if "const" in schema or "enum" in schema:
            return schema.get("const", schema.get("enum", [None])[0])
        if "properties" in schema:
            needed = schema.get("required", [])
            least = {field: self._least(schema["properties"][field]) for field in needed}
            return {**least, **EXAMPLES.get(name, {})}
        if schema.get("type") == "array":
            return [self._least(schema["items"])] * schema.get("minItems", 0)
        numbers = {"integer": 1, "number": 0.5, "boolean": True, "string": "a"}
        return numbers.get(schema.get("type", ""))

    def _resolved(self, schema: Schema) -> tuple[str, Schema]:
        """Return the name of a schema, if it has one, and what it says."""
        name = schema.get("$ref", "").removeprefix(REF)
        return name, self._schemas[name] if name else schema


def _choices(schema: Schema) -> list[Schema]:
    return [one for key in ("anyOf", "oneOf", "allOf") for one in schema.get(key, [])]
