"""Models: built-in networks, and networks that a client writes as layers."""
