"""Find our name for something that has another name in another library."""

from __future__ import annotations

from collections.abc import Sequence

from optcore.spec.elsewhere.fields import BY_KIND, FIELDS
from optcore.spec.elsewhere.layers import LAYER_FIELDS, LAYERS
from optcore.spec.elsewhere.optimizers import OPTIMIZERS
from optcore.spec.elsewhere.schedules import SCHEDULES
from optcore.spec.elsewhere.table import Answer, simplified
from optcore.spec.elsewhere.words import WORDS

TABLES = (OPTIMIZERS, SCHEDULES, WORDS, FIELDS, LAYERS, LAYER_FIELDS)


def our_word(
    given: str, known: Sequence[str], kind: str = "", *, paths: bool = True
) -> Answer | None:
    """
    Return optserve's name for *given*, a name from another library; None if there is none.

    If a name in *known* differs from *given* only in case, module or separators, this name in
    *known* is the result.

    Args:
        given: the name that a client used: ``T_max``, ``torch.optim.AdamW``.
        known: the names that are valid in the place of *given*.
        kind: the kind of the spec that contains *given*; the class of the spec if it has no kind.
        paths: whether the result may be the path of a field in another part of a run's spec.
    """
    name = simplified(given)
    for own in known:
        # Not a parameter's name: without its layer, conv1.weight is what any other weight is.
        if "." not in own and simplified(own) == name:
            return Answer(own)
    if (special := BY_KIND.get(kind, {}).get(name)) is not None:
        return Answer(special)
    answers = [answer for names in TABLES for answer in names.get(name, ())]
    for answer in answers:
        if answer.word in known:
            return answer
    return next((answer for answer in answers if answer.is_path), None) if paths else None
