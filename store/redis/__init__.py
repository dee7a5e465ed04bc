"""Access to the Redis server: its keys, its Lua functions, the doorbell, and startup checks."""
