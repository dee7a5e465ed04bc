-- Libraries of functions: each release loads its own, beside those of others, and says that it uses
-- it. One that was not used for long may be removed.

-- Notes that this library is in use.
local function use_library()
  redis.call('ZADD', key('libraries'), now(), '@LIBRARY@')
end

-- unused_libraries max_age_ms name... -> those of the names that were not used for so long; of one
-- that was never heard of the time begins now
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

-- forget_library name : it is no longer loaded
local function forget_library(_, args)
  local name = unpack(args)
  redis.call('ZREM', key('libraries'), name)
  return 'ok'
end

register('unused_libraries', unused_libraries, {'allow-oom'})
register('forget_library', forget_library, {'allow-oom'})
