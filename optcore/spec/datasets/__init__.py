"""Specs of datasets; their sizes and checksums are known without loading a dataset."""
