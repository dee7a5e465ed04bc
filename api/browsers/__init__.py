"""What the API does for browsers: documentation, and protection from pages of other sites."""
