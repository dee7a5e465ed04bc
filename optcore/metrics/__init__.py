"""
The metrics of an evaluation, one file per metric.

The module `catalogue` lists them, and can be imported without torch.
"""
