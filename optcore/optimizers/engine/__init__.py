"""What runs a rule over the parameters of a model, and keeps its state."""
