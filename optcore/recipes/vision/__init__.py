"""Arguments of the training scripts of timm and torchvision, on a command line or in YAML."""
