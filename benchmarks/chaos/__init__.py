"""A soak of crashes: jobs whose processes are killed and stopped, and the proof that none minds."""
