"""The error of a dataset that cannot be fetched."""


class FetchFailed(Exception):
    """No source had the dataset; the text lists the sources tried and the files to add by hand."""
