"""Configurations of PaddleOCR and PaddleClas."""
