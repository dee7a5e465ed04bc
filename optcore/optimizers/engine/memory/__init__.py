"""Holds parameters, their gradients and their slots in memory."""
