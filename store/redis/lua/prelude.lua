#!lua name=@LIBRARY@
-- The job protocol: each transition of a job is one function of this library.
--
-- A function checks the job's state and token, changes the record, and returns the outcome. A call
-- that is repeated after a lost reply changes nothing more. All times are the server's. `library.py`
-- joins these files in the order of `FILES` and replaces the names between @ signs.
--
-- The keys are not declared to the server: this works with a single primary, not with a cluster.
--
-- The libraries of several releases may be loaded at the same time, so the names of the library and
-- its functions contain the version. All of them work on the same keys; each leaves fields and states
-- that it does not know alone.

local KEYS = @KEYS@
local STATE = @STATE@
local REASON = @REASON@
local EVENT = @EVENT@
local STATES = @STATES@
local FINAL = @FINAL@ -- state -> true for each final state
local FORMAT = @FORMAT@ -- the format of the records that this library writes; it also reads older ones
local CHUNK_ROWS = @CHUNK_ROWS@
local MAX_CRASHES = @MAX_CRASHES@
local RING_AFTER_MS = @RING_AFTER_MS@
local MAX_CHECKPOINTS = @MAX_CHECKPOINTS@
local WAITS_MS = @WAITS_MS@
local HISTORY_ENTRIES = @HISTORY_ENTRIES@
local FORGET_MS = 30 * 24 * 3600 * 1000 -- time after which a fingerprint without a worker is forgotten
-- A job's score in the queue is its rank by priority times this constant, plus its number, so that one
-- sorted set is ordered by both. There will never be this many jobs, and 200 ranks times the constant
-- stay below 2^53, above which a score would lose its last digits.
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

-- Raises an error if a newer release has written a record: this release could misread or damage it.
local function require_known(format)
  if tonumber(format or 1) > FORMAT then error({err = '@TOO_NEW@ ' .. format}) end
end

-- Whether a newer release has written a job's record. If so, only that release handles the job.
local function is_newer(job)
  local read, format = pcall(get, job, 'format')
  return read and tonumber(format or 1) > FORMAT
end

-- Registers *callback* as a function whose name is that of the library, an underscore, and *name*.
local function register(name, callback, flags)
  redis.register_function{
    function_name = '@LIBRARY@_' .. name, callback = callback, flags = flags or {}}
end

-- Increments a counter of the whole service. Counters begin at 0 when the store is created.
local function tally(name, by)
  redis.call('HINCRBY', key('counters'), name, by or 1)
end

-- Appends an entry to a job's history. Entry n is at index n - 1 of a list of texts: a Redis stream
-- would take 4 KB for its first entry.
local function event(job, tenant, id, kind, data)
  redis.call('HINCRBY', job, 'rev', 1)
  local entries = redis.call('RPUSH', key('events', tenant, id),
    string.format('{"at":%.0f,"kind":%s,"data":', now(), cjson.encode(kind)) .. (data or '{}') .. '}')
  if entries > HISTORY_ENTRIES then
    redis.call('ZADD', key('long_histories'), 'NX', now(), tenant .. '/' .. id)
  end
end

-- version -> the version of this library
local function version()
  return '@VERSION@'
end

register('version', version, {'no-writes'})
