"""
Stores files so that they survive a crash, among them immutable files and checkpoints.

Nothing in this package imports torch.
"""
