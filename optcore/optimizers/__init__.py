"""Optimizers: update rules as pure functions, and the engines that run them on flat buffers."""
