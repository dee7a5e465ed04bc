"""The pages in docs/optimizers are what the specs say."""

from pathlib import Path

from optcore.spec.base import field_docs
from optcore.spec.optimizers.catalogue import OPTIMIZERS
from optcore.spec.optimizers.pages import ARTICLES, pages

FOLDER = Path(__file__).parents[3] / "docs" / "optimizers"


def test_the_pages_are_up_to_date() -> None:
    """If not: python -m optcore.spec.optimizers.pages."""
    assert {path.name: path.read_text() for path in FOLDER.glob("*.md")} == pages()


def test_every_optimizer_has_formula_reference_and_meanings() -> None:
    for kind, cls in OPTIMIZERS.items():
        text = pages()[f"{kind}.md"]

        assert "**References:**" in text, kind
        assert " = " in text.partition("**References:**")[0], kind
        assert cls.model_fields.keys() <= {*field_docs(cls), "kind"}, kind


def test_it_is_said_which_article_a_dialect_follows() -> None:
    assert set(ARTICLES) == {kind for kind, cls in OPTIMIZERS.items() if "article" in cls.DIALECTS}
