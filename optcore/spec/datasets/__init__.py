"""Datasets: what a run trains and is tested on. Sizes and checksums are known without loading."""
