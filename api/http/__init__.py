"""Code that all routes share: bodies, parameters, errors, downloads, and the thread pool."""
