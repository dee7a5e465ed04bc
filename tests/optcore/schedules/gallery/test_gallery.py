"""The gallery of schedules is what the specs say today."""

from pathlib import Path

import pytest

from optcore.schedules.gallery import page

GALLERY = Path(__file__).parents[4] / "docs" / "schedules"


@pytest.mark.parametrize(("name", "text"), page().items())
def test_the_gallery_is_up_to_date(name: str, text: str) -> None:
    assert (GALLERY / name).read_text() == text, "run `make gallery`"


def test_the_gallery_holds_nothing_else() -> None:
    assert {path.name for path in GALLERY.iterdir()} == set(page())
