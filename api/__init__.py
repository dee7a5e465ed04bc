"""The HTTP API, from the connections of clients to the calls that read and change the store."""
