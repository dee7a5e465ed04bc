"""The error for a dataset that cannot be fetched."""


class FetchFailed(Exception):
    """No source had the dataset; the message lists the sources, and the files to add by hand."""
