"""The error raised if a local stack cannot be started or used."""


class StackError(Exception):
    """The local stack cannot be started or used; the message says why and what to do."""
