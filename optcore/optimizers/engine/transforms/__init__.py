"""Transforms of gradients before an update rule, and of the change that the rule makes."""
