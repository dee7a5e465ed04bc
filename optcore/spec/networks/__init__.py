"""Specs of networks: the layers, in families, and the models made of layers."""
