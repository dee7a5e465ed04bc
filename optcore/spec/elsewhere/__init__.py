"""Names from other libraries, with the names that optserve has instead, for error messages."""
