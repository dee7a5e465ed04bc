"""The kinds of configuration files that can be converted."""

from __future__ import annotations

from optcore.recipes.paddle.clas import SOURCE as PADDLECLAS
from optcore.recipes.paddle.ocr import SOURCE as PADDLEOCR
from optcore.recipes.source import Source

SOURCES: tuple[Source, ...] = (PADDLEOCR, PADDLECLAS)
