"""What a clone is checked by without torch (`optcore.spec.groups.states`) names the slots."""

import pytest

from optcore.optimizers.engine.group_update import compile_group
from optcore.optimizers.rules.catalogue import RULES
from optcore.spec.groups.states import OF_SLOTS
from optcore.spec.optimizers.catalogue import OPTIMIZERS


@pytest.mark.parametrize("kind", RULES)
def test_the_names_of_slots_depend_on_these_flags_alone(kind: str) -> None:
    for dialect in OPTIMIZERS[kind].DIALECTS:
        spec = OPTIMIZERS[kind].parse({"kind": kind, "lr": 0.01, "dialect": dialect})
        update = compile_group(spec, single_precision=True)
        slots = update.rule.slots(update.numbers, update.flags).keys()
        for name, value in update.flags.items():
            if name not in OF_SLOTS:
                others = update.rule.slots(update.numbers, {**update.flags, name: not value})
                assert others.keys() == slots, (dialect, name)
