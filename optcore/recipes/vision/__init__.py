"""The arguments of the training scripts of timm and torchvision: a command line, or YAML."""
