"""Networks: layers, by family, and the models that are made of them."""
