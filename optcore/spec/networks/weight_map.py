"""The weights that a network takes over from another one, by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import TYPE_CHECKING, Any

from pydantic import ConfigDict, Field

from optcore.spec.base import Spec
from optcore.spec.errors import Mistakes, did_you_mean, short_repr
from optcore.spec.groups.globs import Globs, Name, comparison, listed
from optcore.spec.limits import MAX_COMPARED

if TYPE_CHECKING:
    from optcore.spec.groups.matching import Parameter

MAX_MAPPED = 100
"""Largest number of prefixes, and of globs in ``fresh`` and ``omit``, of a clone."""
MOST_DIFFERENT = 4
"""Largest number of weights of another kind or shape that a message describes."""
MOST_USELESS = 4
"""Largest number of messages about prefixes and globs that find nothing: each lists names."""


Shared = Mapping[str, str]
"""Full name of each weight that a layer shares -> name of the weight in its place."""


class Prefix(Spec):
    """A path in the other network, and the path that replaces it in names of the new network."""

    model_config = ConfigDict(serialize_by_alias=True)

    source: Name = Field(alias="from")
    """Path of a layer or block in the other network: all names that begin with it; empty for all
    names."""
    to: Name
    """Path of the layer or block in the new network; empty for the whole network."""


@dataclass(frozen=True)
class WeightMap:
    """
    Which weights of another network a new network starts with.

    A weight is a parameter or a buffer, such as a running mean of batch_norm. The name of a weight
    in the new network determines its name in the other:

    * If a glob in *fresh* matches, the weight is initialised as in a run without starting weights.
    * If the name begins with the path *to* of a prefix, *source* takes the place of *to*. If
      several prefixes match, the one with the longest *to* counts.
    * All other weights have the same name in both networks. A weight of the other network whose
      name begins with the *source* of a prefix is not taken under its own name.

    Attributes:
        prefixes: paths in the other network, and the paths in their place.
        fresh: globs for the names of weights of the new network that are initialised.
        omit: globs for the names of weights of the other network that are not taken.
    """

    prefixes: Sequence[Prefix] = ()
    fresh: Sequence[str] = ()
    omit: Sequence[str] = ()

    def __bool__(self) -> bool:
        return bool(self.prefixes or self.fresh or self.omit)

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> WeightMap:
        """Return the map for which `stored` returned *data*."""
        prefixes = [Prefix.parse(each) for each in data.get("prefixes", ())]
        return cls(prefixes, data.get("fresh", ()), data.get("omit", ()))

    def stored(self) -> dict[str, Any]:
        """Return the map as JSON types, without the parts that are empty."""
        prefixes = [each.model_dump() for each in self.prefixes]
        parts = {"prefixes": prefixes, "fresh": list(self.fresh), "omit": list(self.omit)}
        return {name: part for name, part in parts.items() if part}

    def is_fresh(self, name: str) -> bool:
        """Return whether the weight *name* of the new network is initialised."""
        return name in self._fresh

    def source_of(self, name: str) -> str | None:
        """
        Return the name that the weight *name* of the new network has in the other network.

        None if *omit* matches that name, or if a prefix gives the weight of that name another name
        in the new network. *fresh* is not considered.
        """
        prefix = _longest(self._by_target, name)
        if prefix is not None:
            source = _joined(_path(prefix.source), name[len(_path(prefix.to)) :].removeprefix("."))
        elif _longest(self._by_source, name) is None:
            source = name
        else:
            return None
        return None if source in self._omit else source

    def prefix_of(self, name: str) -> Prefix | None:
        """Return the prefix that the weight *name* of the new network begins with, or None."""
        return _longest(self._by_target, name)

    @cached_property
    def _fresh(self) -> Globs:
        return Globs(self.fresh)

    @cached_property
    def _omit(self) -> Globs:
        return Globs(self.omit)

    @cached_property
    def _by_target(self) -> dict[str, Prefix]:
        return {_path(each.to): each for each in self.prefixes}

    @cached_property
    def _by_source(self) -> dict[str, Prefix]:
        return {_path(each.source): each for each in self.prefixes}


def check_map(
    taken: WeightMap,
    own: Sequence[Parameter],
    theirs: Sequence[Parameter],
    *,
    job: str,
    shared: tuple[Shared, Shared] = ({}, {}),
) -> None:
    """
    Check that a network with the weights *own* can start with the weights *theirs* of *job*.

    The weights of the two networks must correspond, with two exceptions. *fresh* must name the
    weights that only the new network has, and *omit* those that only the other network has.

    Args:
        taken: what the new network takes, under which names.
        own: weights of the new network, without those that are shared with an earlier layer.
        theirs: weights of the other network, without those that are shared with an earlier layer.
        job: the id of the job that has the other network.
        shared: the weights that layers of the new and of the other network share.

    Raises:
        SpecError: the network cannot start with these weights. The error lists the differences,
            with the first of each kind.
    """
    mistakes = Mistakes()
    globs = sum(map(comparison, [*taken.fresh, *taken.omit]))
    names = chain((each.name for each in (*own, *theirs)), *shared)
    characters = sum(map(len, names)) if globs else 0
    if globs * characters > MAX_COMPARED:
        mistakes.add(
            "fresh",
            lambda: (
                f"fresh and omit must compare at most {MAX_COMPARED} characters, got {characters} "
                f"in the names of the weights times {globs} for globs: 1 for one with * only at "
                "its ends, 2 for each wildcard of another (with ? or [ at least 10)"
            ),
        )
    mistakes.tell()
    useless = Mistakes(MOST_USELESS)
    for param, message in _useless(taken, own, theirs, job, shared):
        useless.add(param, message)
    useless.tell()
    for message in _differences(taken, own, theirs, job):
        mistakes.add("changes.model", message)
    mistakes.tell()


Message = Callable[[], str]


def _useless(
    taken: WeightMap,
    own: Sequence[Parameter],
    theirs: Sequence[Parameter],
    job: str,
    shared: tuple[Shared, Shared],
) -> Iterator[tuple[str, Message]]:
    """Yield (field, message) for each path or glob in *taken* that matches no weight."""
    if not taken:
        return
    in_new, in_other = [each.name for each in own], [each.name for each in theirs]
    whose = f"weights of job {job}"
    # By their paths, as a comparison with each name would take long.
    paths_in_new, paths_in_other = _paths(in_new), _paths(in_other)
    for i, prefix in enumerate(taken.prefixes):
        for field, path, paths, names, of in (
            ("from", prefix.source, paths_in_other, in_other, whose),
            ("to", prefix.to, paths_in_new, in_new, "weights of the clone"),
        ):
            if not _finds(path, paths):
                rule = f"{field} must begin names of {of}"
                yield f"prefixes[{i}].{field}", partial(_unknown, rule, path, paths, names)
    for field, globs, all_of, paths, names, ties, of in (
        (
            "fresh",
            taken.fresh,
            taken._fresh,
            paths_in_new,
            in_new,
            shared[0],
            "weights of the clone",
        ),
        ("omit", taken.omit, taken._omit, paths_in_other, in_other, shared[1], whose),
    ):
        known = dict.fromkeys(names)
        for i, glob in enumerate(globs):
            one = Globs([glob])
            also = one.among(ties)
            # A part of what the glob names would be taken all the same.
            half = next((name for name in ties if name in also and ties[name] not in all_of), None)
            if half is not None:
                yield f"{field}[{i}]", partial(_other_name, field, glob, half, ties[half])
            elif not also and not one.among(known):
                rule = f"{field} must find {of}"
                yield f"{field}[{i}]", partial(_unknown, rule, glob, paths, names)
    chosen = {id(taken.prefix_of(name)) for name in in_new if not taken.is_fresh(name)}
    for i, prefix in enumerate(taken.prefixes):
        if id(prefix) not in chosen and _finds(prefix.to, paths_in_new):
            text = (
                f"to must begin names that are not in fresh and have no longer prefix, got "
                f"{short_repr(prefix.to)}"
            )
            yield f"prefixes[{i}].to", partial(str, text)


def _differences(
    taken: WeightMap, own: Sequence[Parameter], theirs: Sequence[Parameter], job: str
) -> Iterator[Message]:
    known = {each.name: each for each in theirs}
    sources = {each.name: taken.source_of(each.name) for each in own}
    needed = [each for each in own if not taken.is_fresh(each.name)]
    found = [(each, known.get(sources[each.name] or "")) for each in needed]
    if not needed:
        yield lambda: "fresh must leave weights to take, got globs that find all"
        return
    different = [
        (each, other)
        for each, other in found
        if other is not None and (each.shape, _kind(each)) != (other.shape, _kind(other))
    ]
    if different:
        yield partial(_different, different, job)
    missing = [each.name for each, other in found if other is None]
    if missing:
        yield (
            lambda: (
                f"model must have no weights but those of job {job}, which it starts from, got "
                f"{listed(missing)}; name in fresh what is initialised, or map names with prefixes"
            )
        )
    # What a fresh weight replaces is not taken, and need not be in omit too.
    used, omitted = set(sources.values()), Globs(taken.omit)
    left = [name for name in known if name not in used and name not in omitted]
    if left:
        yield (
            lambda: (
                f"model must have all weights of job {job}, which it starts from, got none for "
                f"{listed(left)}; name in omit what is left out, or map names with prefixes"
            )
        )


def _different(found: Sequence[tuple[Parameter, Parameter]], job: str) -> str:
    told = "; ".join(
        f"{own.name} must be {_described(other)}{_under(own, other)}, got {_described(own)}"
        for own, other in found[:MOST_DIFFERENT]
    )
    more = "" if len(found) <= MOST_DIFFERENT else f"; ... {len(found)} in all"
    return f"model must have the weights of job {job}, which it starts from: {told}{more}"


def _under(own: Parameter, other: Parameter) -> str:
    return "" if own.name == other.name else f", as {other.name} there"


def _kind(weight: Parameter) -> str | None:
    # A linear head may share the weight of an embedding, and so may take it.
    return "linear" if weight.module == "embedding" else weight.module


def _described(weight: Parameter) -> str:
    return f"{weight.module} of shape {list(weight.shape)}"


def _other_name(field: str, glob: str, name: str, source: str) -> str:
    return (
        f"{field} must find a shared weight by its own name, got {short_repr(glob)}, which finds "
        f"{name}, the same weight as {source}"
    )


def _unknown(rule: str, given: str, paths: Mapping[str, None], names: Sequence[str]) -> str:
    near = did_you_mean(given, chain(paths, (f"{path}.*" for path in paths)))
    return f"{rule}, got {short_repr(given)}{near} ({listed(names)})"


def _longest(prefixes: Mapping[str, Prefix], name: str) -> Prefix | None:
    """Return the prefix in *prefixes* with the longest path that *name* begins with, or None."""
    path = name if prefixes else ""
    while path:
        if path in prefixes:
            return prefixes[path]
        path = path.rpartition(".")[0]
    return prefixes.get("")


def _paths(names: Sequence[str]) -> Mapping[str, None]:
    """Return the results of `_parts` for all *names*, as the keys of a mapping, in order."""
    return dict.fromkeys(part for name in names for part in _parts(name))


def _parts(name: str) -> Iterator[str]:
    """Yield ``a``, ``a.b`` and ``a.b.c`` for the name ``a.b.c``."""
    for i, character in enumerate(name):
        if character == ".":
            yield name[:i]
    yield name


def _finds(prefix: str, paths: Mapping[str, None]) -> bool:
    return not _path(prefix) or _path(prefix) in paths


def _joined(path: str, rest: str) -> str:
    return f"{path}.{rest}" if path and rest else path or rest


def _path(prefix: str) -> str:
    """Return *prefix* as the path of a layer: ``backbone.`` stands for ``backbone``."""
    return prefix.removesuffix(".")


def duplicate(prefixes: Sequence[Prefix]) -> int | None:
    """Return the index of the first prefix whose *to* an earlier prefix has; None if none has."""
    seen: set[str] = set()
    for i, prefix in enumerate(prefixes):
        if _path(prefix.to) in seen:
            return i
        seen.add(_path(prefix.to))
    return None
