"""``optserve doctor``: find what is wrong in the home of a local stack, and how to fix it."""
