"""What all converters have in common: an entry for each key, and a job that is accepted."""

from pathlib import Path
from typing import Any

import pytest

from optcore.recipes.block import Block
from optcore.recipes.conversion import MISSING, Conversion, leaves
from optcore.recipes.convert import convert, convert_file
from optcore.recipes.detection import UnclearFile
from optcore.recipes.source import Source
from optserve.contract.requests.job import JobSpec

TRIALS = sorted((Path(__file__).parents[2] / "trials" / "convert").glob("*.yml"))
RUN = {
    "model": {"kind": "mlp", "hidden": [4]},
    "dataset": {"kind": "digits", "batch_size": 100},
}


def block_of(config: dict[str, Any]) -> Block:
    return Block(Conversion(config, "test"), config)


@pytest.mark.parametrize("path", TRIALS, ids=lambda path: str(path.stem))
def test_every_key_has_an_entry(path: Path) -> None:
    result = convert_file(path)

    assert [p for p, _ in leaves(result.config) if not result.accounted(p)] == []
    assert all(e.fields or e.fate != "converted" for e in result.entries)
    assert all(e.reason or e.fate == "converted" for e in result.entries)


@pytest.mark.parametrize("path", TRIALS, ids=lambda path: str(path.stem))
def test_what_is_convertible_is_accepted_as_a_job(path: Path) -> None:
    result = convert_file(path)
    if result.problems:
        assert "convert" in path.parent.name
        return

    JobSpec.parse({"training": {"epochs": 9}, **result.job, **RUN})


def test_a_key_that_the_converter_does_not_know_is_refused() -> None:
    source = Source("test", "a test", "", lambda _: True, lambda file: file.other("a", "known"))

    result = convert({"a": 1, "b": {"c": 2}}, source)

    assert result.problems == ["b.c is not known in test, got 2"]


def test_what_a_job_would_refuse_is_a_problem() -> None:
    def convert_it(file: Block) -> None:
        file.result.set("optimizer.kind", "adam")
        file.converted("lr", "optimizer.lr", file.number("lr"))

    result = convert({"lr": -1}, Source("test", "a test", "", lambda _: True, convert_it))

    assert result.problems == ["optimizer.lr: lr must be positive, got -1"]


def test_a_key_may_become_several_fields_and_a_refusal_stays() -> None:
    block = block_of({"epochs": 3, "lr": 1})
    block.converted("epochs", "training.epochs", 3)
    block.converted("epochs", "schedule.length", {"epochs": 3})
    block.refused("lr", "is too large")
    block.converted("lr", "optimizer.lr", 1)

    epochs, lr = block.result.entries

    assert epochs.fields == (("training.epochs", 3), ("schedule.length", {"epochs": 3}))
    assert (lr.fate, lr.problem) == ("refused", "lr is too large, got 1")


def test_a_converted_key_stays_converted_unless_it_is_refused() -> None:
    block = block_of({"steps": 4, "lr": 1})
    block.converted("steps", "training.accumulate", 4)
    block.other("steps", "null is 1")
    block.converted("lr", "optimizer.lr", 1)
    block.refused("lr", "is too large")

    steps, lr = block.result.entries

    assert (steps.fate, steps.fields) == ("converted", (("training.accumulate", 4),))
    assert lr.fate == "refused"


def test_a_default_is_listed_unless_the_file_has_a_key_for_it() -> None:
    block = block_of({"lr": 1})
    block.result.default("optimizer.lr", 2, "the framework's")
    block.result.default("optimizer.eps", 1e-8, "the framework's")
    block.converted("lr", "optimizer.lr", 1)

    assert [entry.path for entry in block.result.defaults] == ["optimizer.eps"]
    assert block.result.job == {"optimizer": {"lr": 1, "eps": 1e-8}}


@pytest.mark.parametrize(
    ("value", "read", "problem"),
    [
        ("x", "number", "key must be a number, got 'x'"),
        (True, "number", "key must be a number, got true"),
        (1.5, "whole", "key must be a whole number, got 1.5"),
        (float("inf"), "whole", "key must be a whole number, got inf"),
        ("a", "flag", "key must be true or false, got 'a'"),
        (3, "text", "key must be text, got 3"),
        ("1, 2", "numbers", "key must be a list of numbers, got '1, 2'"),
        ([1], "block", "key must be a mapping, got [1]"),
    ],
)
def test_a_wrong_value_is_a_problem_and_not_an_exception(
    value: object, read: str, problem: str
) -> None:
    block = block_of({"key": value})

    getattr(block, read)("key")

    assert block.result.problems == [problem]


def test_text_that_is_a_number_is_one() -> None:
    assert block_of({"lr": "1e-4"}).number("lr") == 1e-4


def test_a_required_key_that_is_missing_is_a_problem() -> None:
    block = block_of({})

    block.number("lr", of="Cosine")

    assert block.result.problems == ["lr is required for Cosine"]
    assert block.result.entries[0].value is MISSING


def test_a_choice_names_what_there_is() -> None:
    block = block_of({"shape": "round"})

    assert block.choice("shape", {"cos": "cosine", "linear": "linear"}) == "cosine"
    assert block.result.problems == ["shape must be one of cos, linear, got 'round'"]


def test_a_file_that_may_be_of_two_kinds_is_unclear(tmp_path: Path) -> None:
    path = tmp_path / "both.yml"
    path.write_text("Global: {epoch_num: 3, epochs: 3}\nOptimizer: {name: Adam}\n")

    with pytest.raises(UnclearFile, match="may be paddleocr or paddleclas: choose one with --from"):
        convert_file(path)
