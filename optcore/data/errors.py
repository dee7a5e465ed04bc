"""The error for a dataset that cannot be fetched."""


class FetchFailed(Exception):
    """
    A dataset could not be fetched from any source.

    The message lists the sources, and the files that the user can put in place instead.
    """
