"""Tasks, losses, and the checks that the loss and the metrics of a run fit its task."""
