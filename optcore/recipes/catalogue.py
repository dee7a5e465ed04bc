"""The kinds of configuration files that can be converted."""

from __future__ import annotations

from optcore.recipes.huggingface.axolotl import SOURCE as AXOLOTL
from optcore.recipes.huggingface.llamafactory import SOURCE as LLAMAFACTORY
from optcore.recipes.huggingface.trainer import SOURCE as TRANSFORMERS
from optcore.recipes.huggingface.trl import SOURCE as TRL
from optcore.recipes.mindspore.mindcv import SOURCE as MINDCV
from optcore.recipes.mindspore.mindocr import SOURCE as MINDOCR
from optcore.recipes.paddle.clas import SOURCE as PADDLECLAS
from optcore.recipes.paddle.ocr import SOURCE as PADDLEOCR
from optcore.recipes.source import Source
from optcore.recipes.vision.timm import SOURCE as TIMM
from optcore.recipes.vision.torchvision import SOURCE as TORCHVISION

SOURCES: tuple[Source, ...] = (
    PADDLEOCR,
    PADDLECLAS,
    MINDCV,
    MINDOCR,
    TRANSFORMERS,
    TRL,
    LLAMAFACTORY,
    AXOLOTL,
    TIMM,
    TORCHVISION,
)
