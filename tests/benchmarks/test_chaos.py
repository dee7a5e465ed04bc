"""What a soak is made of: its plan, and how it tells what came of it."""

import io
import random
from collections import Counter
from typing import get_args

from benchmarks.chaos.report import Report, show
from benchmarks.chaos.strikes import Kind, plan
from optserve.cli.output.terminal import Terminal

KINDS: set[Kind] = set(get_args(Kind))


def test_a_soak_strikes_at_everything_in_the_order_of_its_seed() -> None:
    planned = plan(75, random.Random(7), whole=True)

    assert set(planned) == KINDS
    assert Counter(planned)["trainer"] + Counter(planned)["worker"] + Counter(planned)["api"] == 75
    assert planned == plan(75, random.Random(7), whole=True)
    assert planned != plan(75, random.Random(8), whole=True)


def test_of_somebody_elses_service_only_trainers_are_struck() -> None:
    assert set(plan(75, random.Random(7), whole=False)) == {"trainer", "stop"}


def test_a_report_names_every_kind_within_80_columns() -> None:
    struck: Counter[Kind] = Counter(plan(5000, random.Random(7), whole=True))
    report = Report(7, 5000, struck=struck, archived=5000)
    text = io.StringIO()
    terminal = Terminal()
    terminal.file = text

    show(report, terminal)

    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    told = " ".join(text.getvalue().split())
    assert not [kind for kind in KINDS - {"stop"} if f"{kind} {struck[kind]}" not in told]
