"""What is wrong with the home of a local stack, and what to do: ``optserve doctor``."""
