"""Connections of clients: how many there may be, and what each of them may take."""
