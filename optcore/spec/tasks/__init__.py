"""Tasks: what a run is about, the losses that fit each, and the checks that they do."""
