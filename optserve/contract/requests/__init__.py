"""What clients send: jobs, clones, and the format of an export."""
