"""What is promised to be documented is."""

import re
from pathlib import Path

from api.connections.refusals import CloseReason
from optserve.cli.convert import SOURCES
from optserve.contract import reasons_page
from optserve.contract.answers.charts import (
    Chart,
    ComparedJob,
    ComparedNotFinite,
    Comparison,
    Curve,
    EvaluationCurve,
    XAxis,
)
from optserve.contract.answers.evaluations import Evaluation, EvaluationMetric
from optserve.contract.requests.exports import ExportForm
from optserve.contract.states import Reason
from store.settings import Settings

DOCS = Path(__file__).parents[1] / "docs"
SHORTEST = 50
"""Characters that are too few to say what happened and what to do about it."""


def test_the_page_about_reasons_is_up_to_date() -> None:
    """If not: python -m optserve.contract.reasons_page docs/reasons.md."""
    assert (DOCS / "reasons.md").read_text() == reasons_page.page()


def test_every_reason_says_what_happened_and_what_to_do() -> None:
    explained = dict(reasons_page.sections())

    assert list(explained) == list(Reason)
    for reason, text in explained.items():
        what, do = text.split("\n\n", 1)
        assert min(len(what), len(do)) > SHORTEST, reason


def test_every_form_of_an_export_is_listed_with_its_media_type() -> None:
    page = (DOCS / "metrics.md").read_text()

    assert not [form for form in ExportForm if f"| `{form}` | `{form.media_type}` |" not in page]


def test_every_word_of_a_chart_is_explained() -> None:
    page = (DOCS / "charts.md").read_text()
    models = (Chart, Curve, EvaluationCurve, ComparedNotFinite, Comparison, ComparedJob)
    words = {name for model in models for name in model.model_fields} - {"object"}

    assert not [word for word in [*words, *XAxis] if f"`{word}`" not in page]


def test_every_word_of_an_evaluation_and_of_its_metrics_is_explained() -> None:
    page = (DOCS / "metrics.md").read_text()
    words = {*Evaluation.model_fields, *EvaluationMetric.model_fields} - {"object"}

    assert not [word for word in words if f"`{word}`" not in page]


LIMITS = ("max_", "_timeout_s", "_per_s", "_patience_s", "stream_stall_s", "stream_age_s")
"""What the names of settings have in them that limit an API process."""
OF_WORKERS = {"max_unstored_bytes", "fault_patience_s"}


def test_every_limit_of_an_api_process_is_listed_with_its_setting() -> None:
    page = (DOCS / "limits.md").read_text()
    limits = {name for name in Settings.model_fields if any(part in name for part in LIMITS)}

    named = set(re.findall(r"`OPTSERVE_(\w+)`", page))

    assert named == {name.upper() for name in limits - OF_WORKERS} | {"ALLOWED_HOSTS"}
    assert not [why for why in CloseReason if f"`{why}`" not in page]


def test_every_kind_of_file_that_is_converted_is_in_the_table() -> None:
    page = (DOCS / "convert.md").read_text()
    table = page.split("| `--from` | file |")[1].split("\n\n")[0]

    rows = [line.split("|")[1:-1] for line in table.splitlines()[2:]]
    assert all(len(row) == 2 for row in rows)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row[0])} == set(SOURCES)
