"""Client connections: HTTP/1.1 with limits on their number, and on size and time of requests."""
