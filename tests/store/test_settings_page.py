"""The page docs/settings.md is what the settings say."""

import re
from pathlib import Path

import pytest

from store.settings import Settings
from store.settings_page import page

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_page_is_up_to_date() -> None:
    """If not: python -m store.settings_page docs/settings.md."""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("name", Settings.model_fields)
def test_a_setting_has_a_text_of_whole_sentences(name: str) -> None:
    text = Settings.model_fields[name].description

    assert text
    assert text[0].isupper()
    assert text.endswith((".", "..."))


def test_a_setting_that_a_text_names_exists() -> None:
    named = re.findall(r"OPTSERVE_\w+", page())

    assert {name.removeprefix("OPTSERVE_").lower() for name in named} == set(Settings.model_fields)
