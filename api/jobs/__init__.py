"""Routes for jobs: submit, validate, list and clone jobs, and act on them."""
