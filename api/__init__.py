"""The HTTP API: client connections, routes, and the calls that read and change the store."""
