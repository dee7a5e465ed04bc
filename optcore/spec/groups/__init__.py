"""Groups of parameters: what they may say, and which parameter is in which."""
