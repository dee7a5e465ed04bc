"""Client connections: HTTP/1.1 with limits on number, size and time."""
