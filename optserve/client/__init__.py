"""The Python client: ``from optserve.client import Client``."""

from optserve.client.client import Client

__all__ = ["Client"]
