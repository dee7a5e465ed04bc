"""Engines that run update rules over the parameters of a model, and the state they change."""
