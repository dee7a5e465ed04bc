-- Function libraries: each release loads its own beside those of other releases, and records when it
-- uses it. A library that was not used for a long time may be removed.

-- Records that this library is in use now.
local function use_library()
  redis.call('ZADD', key('libraries'), now(), '@LIBRARY@')
end

-- unused_libraries max_age_ms name... -> {name of a library not used for max_age_ms...}; for a library
-- without a recorded use, the time starts now
local function unused_libraries(_, args)
  local max_age_ms, names = args[1], {unpack(args, 2)}
  local found = {}
  for _, name in ipairs(names) do
    redis.call('ZADD', key('libraries'), 'NX', now(), name)
    local used = tonumber(redis.call('ZSCORE', key('libraries'), name))
    if used <= now() - tonumber(max_age_ms) then table.insert(found, name) end
  end
  return found
end

-- forget_library name : the library is no longer loaded
local function forget_library(_, args)
  local name = unpack(args)
  redis.call('ZREM', key('libraries'), name)
  return 'ok'
end

register('unused_libraries', unused_libraries, {'allow-oom'})
register('forget_library', forget_library, {'allow-oom'})
