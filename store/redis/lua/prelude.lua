#!lua name=@LIBRARY@
-- The job protocol: every transition of a job is one function of this library.
--
-- A function checks state and token, changes the record, and says what happened, so that a call
-- repeated after a lost reply does nothing twice. Time is the server's. `library.py` joins these files
-- in the order of `FILES` and replaces the names between @ signs.
--
-- The keys are not declared to the server: this is for one primary, not for a cluster.
--
-- Libraries of several releases may be loaded at a time, so the names of library and functions hold
-- the version. Each works on the same keys, and leaves alone what it does not know.

local KEYS = @KEYS@
local STATE = @STATE@
local REASON = @REASON@
local EVENT = @EVENT@
local STATES = @STATES@
local FINAL = @FINAL@ -- state -> true for those that nothing follows
local FORMAT = @FORMAT@ -- of the records that this library writes and reads
local CHUNK_ROWS = @CHUNK_ROWS@
local MAX_CRASHES = @MAX_CRASHES@
local RING_AFTER_MS = @RING_AFTER_MS@
local MAX_CHECKPOINTS = @MAX_CHECKPOINTS@
local WAITS_MS = @WAITS_MS@
local HISTORY_ENTRIES = @HISTORY_ENTRIES@
local FORGET_MS = 30 * 24 * 3600 * 1000 -- a fingerprint that no worker has had for so long
-- A job's score in the queue is its rank by priority times this, plus its number: one sorted set is
-- ordered by both. There will be fewer jobs than this, and 200 ranks of it stay below 2^53, above
-- which a score would lose its last digits.
local PRIORITY_STEP = 1e12

local function key(name, ...)
  return string.format(KEYS[name], ...)
end

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

local function get(job, ...)
  return unpack(redis.call('HMGET', job, ...))
end

-- Raises that a newer release has written a record, unless its format is known: what this one read
-- and wrote there could be wrong.
local function require_known(format)
  if tonumber(format or 1) > FORMAT then error({err = '@TOO_NEW@ ' .. format}) end
end

-- Whether a newer release has written a job's record: whatever is to be done, it does it.
local function is_newer(job)
  local read, format = pcall(get, job, 'format')
  return read and tonumber(format or 1) > FORMAT
end

-- Makes *callback* a function of the library, callable as the library's name and *name*.
local function register(name, callback, flags)
  redis.register_function{
    function_name = '@LIBRARY@_' .. name, callback = callback, flags = flags or {}}
end

-- Counts what happened in the whole service, since its store was made.
local function tally(name, by)
  redis.call('HINCRBY', key('counters'), name, by or 1)
end

-- Entry n of a history stands at n - 1 in its list, as text: a stream would take 4 KB for the first.
local function event(job, tenant, id, kind, data)
  redis.call('HINCRBY', job, 'rev', 1)
  local entries = redis.call('RPUSH', key('events', tenant, id),
    string.format('{"at":%.0f,"kind":%s,"data":', now(), cjson.encode(kind)) .. (data or '{}') .. '}')
  if entries > HISTORY_ENTRIES then
    redis.call('ZADD', key('long_histories'), 'NX', now(), tenant .. '/' .. id)
  end
end

-- version -> of this library
local function version()
  return '@VERSION@'
end

register('version', version, {'no-writes'})
