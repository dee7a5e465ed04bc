"""Readers of the built-in datasets, one module per dataset, and the download of MNIST."""
