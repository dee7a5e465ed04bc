"""Networks: torch modules built from layer specs."""
