"""The Redis server: its keys, its functions, the doorbell, and what a service needs of it."""
