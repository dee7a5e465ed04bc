"""
Stores files that never change and survive a crash, among them the files of checkpoints.

Nothing in this package imports torch.
"""
