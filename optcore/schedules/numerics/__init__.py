"""The arithmetic that curves are computed with: roundings of the frameworks, random numbers."""
