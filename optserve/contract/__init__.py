"""The HTTP interface: what clients send and what the service answers."""
