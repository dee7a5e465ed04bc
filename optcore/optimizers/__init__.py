"""Optimizers: update rules, which are pure functions, and engines that run them on parameters."""
