"""The HTTP API: from the connection of a client to the calls of the store."""
