"""The torch modules of layers, by the same families as `optcore.spec.layers`."""
