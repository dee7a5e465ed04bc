-- The functions on the Redis server: python -m store.redis.library | luacheck -
std = "lua51"
read_globals = {"redis", "cjson", "struct"}
max_line_length = false -- of the tables that Python fills in
