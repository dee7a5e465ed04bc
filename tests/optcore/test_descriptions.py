"""The texts below the fields of specs, and specs whose schema is built when it is needed."""

import subprocess
import sys

import pytest
from pydantic import ConfigDict, Field

from optcore.schedules.catalogue import SCHEDULES
from optcore.spec.base import Spec, field_docs
from optcore.spec.limits import MAX_GROUPS, lifted
from optcore.spec.optimizers.adam import Adam
from optcore.spec.optimizers.catalogue import OPTIMIZERS


class Documented(Spec):
    """A spec."""

    first: int
    """The first.

    In two paragraphs.
    """
    second: int = 2
    """The second."""
    bare: int = 3
    given: int = Field(4, alias="from")
    """The one with another name."""


class Heir(Documented):
    """A spec that has some fields anew."""

    second: int = 5
    third: int = 6
    """The third."""


class ByPydantic(Documented):
    """A spec whose texts pydantic reads."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    third: int = 6
    """The third
    field."""


def described(spec: type[Spec]) -> dict[str, str | None]:
    schema = spec.model_json_schema()
    # A schedule that contains others is one of its own definitions.
    own = schema["$defs"][spec.__name__] if "$ref" in schema else schema
    return {name: part.get("description") for name, part in own["properties"].items()}


def test_a_field_is_described_by_the_text_below_it() -> None:
    assert described(Documented) == {
        "first": "The first.\n\nIn two paragraphs.",
        "second": "The second.",
        "bare": None,
        "from": "The one with another name.",
    }


def test_a_field_that_is_declared_again_has_only_its_own_text() -> None:
    assert described(Heir) == {**described(Documented), "second": None, "third": "The third."}


def test_the_text_is_what_pydantic_reads() -> None:
    assert field_docs(ByPydantic)["third"] == ByPydantic.model_fields["third"].description


@pytest.mark.parametrize("spec", [*OPTIMIZERS.values(), *SCHEDULES.values()])
def test_every_hyperparameter_is_described(spec: type[Spec]) -> None:
    without = {name for name, text in described(spec).items() if not text}

    # The class's own docstring describes its kind.
    assert without <= {"kind"}


def test_an_optimizer_that_nobody_has_used_is_parsed_without_limits() -> None:
    class Unused(Adam):
        """An optimizer whose schema is not built yet."""

    groups = [{"match": "*"}] * (MAX_GROUPS + 1)
    assert not Unused.__pydantic_complete__

    with lifted():
        parsed = Unused.parse({"kind": "adam", "groups": groups})

    assert len(parsed.groups) == len(groups)


def test_a_spec_whose_source_cannot_be_read_has_no_descriptions() -> None:
    code = (
        "from optcore.spec.base import Spec\n"
        "class Own(Spec):\n"
        "    size: int = 1\n"
        "    'Number of things.'\n"
        "print(Own.model_json_schema()['properties']['size']['type'])"
    )

    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False
    )

    assert (done.stdout, done.stderr) == ("integer\n", "")
