"""What keeps the local stack from running."""


class StackError(Exception):
    """The local stack cannot be started; the text says why and what to do."""
