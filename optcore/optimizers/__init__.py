"""Optimizers: update rules as pure functions, and engines that run the rules on flat buffers."""
