"""What the API does for browsers: it serves the documentation and refuses foreign requests."""
