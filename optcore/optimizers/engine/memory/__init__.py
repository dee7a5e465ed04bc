"""The memory of parameters, their gradients and their slots, as engines read and write it."""
