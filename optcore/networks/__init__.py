"""Networks: torch modules built from the specs of layers."""
