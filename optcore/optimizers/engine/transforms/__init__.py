"""What is done to gradients before a rule, and to the change that it makes after it."""
