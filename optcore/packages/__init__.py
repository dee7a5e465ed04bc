"""Metrics, layers, networks and more that installed packages add to optserve."""
