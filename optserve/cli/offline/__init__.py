"""The work of the commands that need no service, imported only when such a command runs."""
