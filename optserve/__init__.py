"""The Python client, the `optserve` command, and the stack that runs the service locally."""
