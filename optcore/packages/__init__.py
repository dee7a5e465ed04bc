"""What installed packages add to this one, by entry points: metrics, layers, networks, ..."""
