"""The work of the commands that need no service. It is imported when one of them runs."""
