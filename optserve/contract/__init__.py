"""The HTTP interface: the models of requests and responses."""
