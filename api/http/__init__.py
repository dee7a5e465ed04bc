"""What all routes share: bodies, parameters, problems, downloads, and fair turns for large work."""
