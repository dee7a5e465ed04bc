"""Finds our word for a name from another library."""

from __future__ import annotations

from collections.abc import Sequence

from optcore.spec.elsewhere.fields import BY_KIND, FIELDS
from optcore.spec.elsewhere.optimizers import OPTIMIZERS
from optcore.spec.elsewhere.schedules import SCHEDULES
from optcore.spec.elsewhere.table import Answer, simplified
from optcore.spec.elsewhere.words import WORDS

TABLES = (OPTIMIZERS, SCHEDULES, WORDS, FIELDS)


def our_word(
    given: str, known: Sequence[str], of: str = "", *, paths: bool = True
) -> Answer | None:
    """
    Return our word for *given*, or None if there is none.

    Args:
        given: what was typed: ``T_max``, ``torch.optim.AdamW``.
        known: the names that are valid where it was typed.
        of: the kind of the spec in which it was typed, or its class if it has no kind.
        paths: whether the path of a field elsewhere in the spec of a run is an answer too.
    """
    name = simplified(given)
    for own in known:
        if simplified(own) == name:
            return Answer(own)
    if (special := BY_KIND.get(of, {}).get(name)) is not None:
        return Answer(special)
    answers = [answer for names in TABLES for answer in names.get(name, ())]
    for answer in answers:
        if answer.word in known:
            return answer
    return next((answer for answer in answers if answer.is_path), None) if paths else None
