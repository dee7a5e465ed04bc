"""Rows and events on their way from the loop to the store."""
