"""Other values for a field: whatever its class accepts of a pool that holds something of each."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

FLOATS = [0.3, 0.75, 0.05, 1.5, 3.0, 1e-3, 0.0, -0.5, -9.0, 40.0, 1e-6, 30000.0]
INTS = [1, 2, 3, 5, 8, 30, 100, 0, 401]
TEXTS = ["bias", "*.bias", "weight", "val_loss", "val_accuracy", "train_loss"]
LISTS: list[list[Any]] = [["*weight"], ["grad_norm"], ["bias"], [20], [0.5, 0.25]]
LISTS += [["macro_f1"], [1.0, 0.5] * 5]
OBJECTS: list[dict[str, Any]] = [
    {"length": 40, "start": 0.25},
    {"kind": "value", "max": 0.01},
    {"kind": "norm", "max": 0.05},
    {"kind": "global_norm", "max": 0.05},
    {"kind": "cosine"},
    {"kind": "linear", "end_fraction": 0.5},
    {"kind": "keras", "decay": 0.5, "overwrite_every": 2},
    {"decay": 0.5},
    {"every": 2},
    {"kind": "dynamic", "start": 8.0, "window": 2},
    {"kind": "fixed", "scale": 2.0**12},
    {"patience": 1, "min_delta": 0.5},
    {"epochs": 0.5},
    {"weight_decay": {"kind": "linear", "end_fraction": 0.5}},
    {"decay": {"kind": "linear", "end_fraction": 0.5}},
    {"fraction": 0.75},
    {"kind": "mse"},
    {"kind": "huber"},
]


def others(field: FieldInfo, now: Any) -> Iterator[Any]:
    """Yield values other than *now*, most of which *field* refuses, the likelier ones first."""
    kinds = _kinds(field.annotation)
    for value in [*_near(now), *_named(field.annotation), *_pool()]:
        if type(value) in kinds and (type(value) is not type(now) or value != now):
            yield value


def _kinds(annotation: Any) -> set[type]:
    """Return the types of JSON that *annotation* may take."""
    if annotation is None or annotation is type(None):
        return {type(None)}
    if get_origin(annotation) is Literal:
        return {type(value) for value in get_args(annotation)}
    if isinstance(annotation, type) and get_origin(annotation) is None:
        return {dict} if issubclass(annotation, BaseModel) else {annotation}
    if get_origin(annotation) in (list, dict):
        return {get_origin(annotation)}
    return {kind for part in get_args(annotation) for kind in _kinds(part)}


def _near(now: Any) -> list[Any]:
    """Return values of the type of *now*, which differ from it a little."""
    if isinstance(now, bool):
        return [not now]
    if isinstance(now, int):
        return [now + 1, now + 7, max(0, now - 1), now // 2, now * 2]
    if isinstance(now, float):
        return [now * 1.5, now * 0.5, now + 1.0, now - 0.25]
    if isinstance(now, list) and now and type(now[0]) in (int, float):
        return [[v, *now[1:]] for v in _near(now[0])]
    if isinstance(now, list) and len(now) > 1:
        return [now[::-1]]
    return []


def _named(annotation: Any) -> list[Any]:
    """Return the values of all `Literal` in *annotation*."""
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    return [value for part in get_args(annotation) for value in _named(part) if _is_type(part)]


def _is_type(part: Any) -> bool:
    return get_origin(part) is not None or isinstance(part, types.GenericAlias)


def _pool() -> list[Any]:
    objects = [*OBJECTS, [{"match": "*weight", "lr_scale": 0.5}]]
    return [None, True, False, *INTS, *FLOATS, *TEXTS, *LISTS, *objects]


def put(data: Any, path: Sequence[str | int], value: Any) -> Any:
    """Return a copy of plain *data* with *value* at *path*."""
    if not path:
        return value
    if isinstance(path[0], int):
        return [*data[: path[0]], put(data[path[0]], path[1:], value), *data[path[0] + 1 :]]
    inner = data if isinstance(data, Mapping) else {}
    return {**inner, path[0]: put(inner.get(path[0]), path[1:], value)}
