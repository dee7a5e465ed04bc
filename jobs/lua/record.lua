#!lua name=optserve
-- The job protocol: every transition of a job is one function of this library.
--
-- A function checks state and token, changes the record, and says what happened, so that a call
-- repeated after a lost reply does nothing twice. Time is the server's. `functions.py` joins these
-- files in the order of `FILES`, and fills in what stands between @ signs.
--
-- The keys are not declared to the server: this is for one primary, not for a cluster.

local KEYS = @KEYS@
local CHUNK_ROWS = @CHUNK_ROWS@
local MAX_CRASHES = @MAX_CRASHES@
local RING_AFTER_MS = @RING_AFTER_MS@
local CHECKPOINTS_KEPT = @CHECKPOINTS_KEPT@
local WAITS_MS = @WAITS_MS@
local FORGET_MS = 30 * 24 * 3600 * 1000 -- a fingerprint that no worker has had for so long
local PRIORITY_STEP = 1e12 -- more jobs than there will be; scores stay below 2^53

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

-- Counts what happened in the whole service, since its store was made.
local function tally(name, by)
  redis.call('HINCRBY', key('counters'), name, by or 1)
end

-- Entry n of a history stands at n - 1 in its list, as text: a stream would take 4 KB for the first.
local function event(job, tenant, id, kind, data)
  redis.call('HINCRBY', job, 'rev', 1)
  redis.call('RPUSH', key('events', tenant, id),
    string.format('{"at":%.0f,"kind":%s,"data":', now(), cjson.encode(kind)) .. (data or '{}') .. '}')
end

-- ---------------------------------------------------------------- waiting for a worker

-- Where a job waits: at its device's lane, or, once rows were computed of a run that must have the
-- same bits to its end, at that of the workers whose bits are the same.
local function lane(job)
  local device, fingerprint, exact = get(job, 'device', 'fingerprint', 'exact')
  if exact ~= '0' and fingerprint and fingerprint ~= '' then return '@' .. fingerprint end
  return device
end

local function at_fingerprint(lane)
  return string.sub(lane, 1, 1) == '@'
end

local function enqueue(job, tenant, id)
  local priority, number = get(job, 'priority', 'number')
  local score = (100 - tonumber(priority)) * PRIORITY_STEP + tonumber(number)
  redis.call('HSET', job, 'queued', now())
  redis.call('ZADD', key('pending', lane(job), tenant), score, id)
  redis.call('SADD', key('waiting', lane(job)), tenant)
  redis.call('SADD', key('lanes'), lane(job))
  redis.call('ZADD', key('queued_since'), now(), tenant .. '/' .. id)
end

local function dequeue(job, tenant, id)
  local where = lane(job)
  redis.call('ZREM', key('pending', where, tenant), id)
  redis.call('ZREM', key('queued_since'), tenant .. '/' .. id)
  if redis.call('EXISTS', key('pending', where, tenant)) == 1 then return end
  redis.call('SREM', key('waiting', where), tenant)
  if redis.call('EXISTS', key('waiting', where)) == 0 then
    redis.call('SREM', key('lanes'), where)
  end
end

-- Calls fn(state, device, fingerprint) for each living worker that may take a job.
local function each_taker(job, fn)
  local wanted = lane(job)
  for _, worker in ipairs(redis.call('ZRANGE', key('workers'), '(' .. now(), '+inf', 'BYSCORE')) do
    local state, device, fingerprint = unpack(
      redis.call('HMGET', key('worker', worker), 'state', 'device', 'fingerprint'))
    if device and (wanted == 'auto' or wanted == device
        or wanted == '@' .. (fingerprint or '')) then
      fn(state, device, fingerprint or '')
    end
  end
end

-- Devices whose bell should be rung for a job: those of idle workers that may take it. A busy
-- worker asks for the next job by itself when it is done.
local function bells(job)
  local found, seen = {}, {}
  each_taker(job, function(state, device)
    if state == 'idle' and not seen[device] then
      seen[device] = true
      table.insert(found, device)
    end
  end)
  return found
end

-- What a job lacks to run: nothing (it runs, has ended, or waits its turn), a worker, or one whose
-- bits are those of its rows.
local function lacks(job)
  if get(job, 'state') ~= 'queued' then return '' end
  local some = false
  each_taker(job, function() some = true end)
  if some then return '' end
  return at_fingerprint(lane(job)) and 'fingerprint' or 'worker'
end

-- The lanes from which the workers that may take a job take others too.
local function rival_lanes(job)
  local found, lanes = {}, {}
  local function add(name)
    if not found[name] then
      found[name] = true
      table.insert(lanes, name)
    end
  end
  add(lane(job))
  add('auto')
  each_taker(job, function(_, device, fingerprint)
    add(device)
    add('@' .. fingerprint)
  end)
  return lanes
end

-- How many of each tenant's jobs come before a score, by what they would be claimed for: a higher
-- priority, or their age among those of the same; and how many have that priority in all.
local function rivals_of(job, score)
  local first = math.floor(score / PRIORITY_STEP) * PRIORITY_STEP
  local bound = function(number) return string.format('(%.0f', number) end
  local rivals = {}
  for _, where in ipairs(rival_lanes(job)) do
    for _, tenant in ipairs(redis.call('SMEMBERS', key('waiting', where))) do
      local pending = key('pending', where, tenant)
      local found = rivals[tenant] or {higher = 0, same = 0, older = 0}
      found.higher = found.higher + redis.call('ZCOUNT', pending, '-inf', bound(first))
      found.same = found.same
        + redis.call('ZCOUNT', pending, first, bound(first + PRIORITY_STEP))
      found.older = found.older + redis.call('ZCOUNT', pending, first, bound(score))
      rivals[tenant] = found
    end
  end
  return rivals
end

-- How many jobs would be claimed before a queued one, if no job ended or came meanwhile.
local function place(job)
  local tenant, id = get(job, 'tenant', 'id')
  local score = tonumber(redis.call('ZSCORE', key('pending', lane(job), tenant), id))
  local rivals = rivals_of(job, score)
  for name, rival in pairs(rivals) do
    rival.share = redis.call('ZCARD', key('jobs_in_state', name, 'running')) + rival.higher
  end
  -- Its turn comes when its tenant has this many: until then those with fewer go first, and of one
  -- with as many the next job, if that is older.
  local mine = rivals[tenant]
  local share, before = mine.share + mine.older, mine.higher + mine.older
  for name, rival in pairs(rivals) do
    if name ~= tenant then
      local fewer = math.max(0, math.min(rival.same, share - rival.share))
      before = before + rival.higher + fewer
      if rival.share + fewer == share and rival.older > fewer then before = before + 1 end
    end
  end
  return before
end

-- For how many milliseconds workers have had a job.
local function trained_ms(job)
  local before, state, claimed = get(job, 'trained', 'state', 'claimed')
  return tonumber(before or 0) + (state == 'running' and now() - tonumber(claimed) or 0)
end

-- The record, what the job waits for, and, if that is a fingerprint, for how many milliseconds no
-- worker has had it; unless it is for a list, also the place in the queue.
local function view(job, listed)
  local fields = redis.call('HGETALL', job)
  if #fields == 0 then return fields end
  table.insert(fields, 'trained_ms')
  table.insert(fields, tostring(trained_ms(job)))
  local lacking = lacks(job)
  table.insert(fields, 'waiting_for')
  table.insert(fields, lacking)
  if lacking == 'fingerprint' then
    local fingerprint, queued = get(job, 'fingerprint', 'queued')
    local seen = redis.call('ZSCORE', key('fingerprints'), fingerprint) or queued
    table.insert(fields, 'gone_ms')
    table.insert(fields, tostring(now() - tonumber(seen)))
  end
  if not listed and get(job, 'state') == 'queued' then
    table.insert(fields, 'place')
    table.insert(fields, tostring(place(job)))
  end
  return fields
end

-- look tenant id -> the record, or nothing if there is no such job
local function look(_, args)
  return view(key('job', args[1], args[2]))
end

-- list tenant id... -> the records without their places; nothing in place of a job that is not there
local function list(_, args)
  local found = {}
  for i = 2, #args do found[i - 1] = view(key('job', args[1], args[i]), true) end
  return found
end

-- ---------------------------------------------------------------- moving

local function index(tenant, id, from, to)
  if from then redis.call('ZREM', key('jobs_in_state', tenant, from), id) end
  redis.call('ZADD', key('jobs_in_state', tenant, to), 0, id)
end

local function free_worker(job)
  local worker = get(job, 'worker')
  if worker and redis.call('EXISTS', key('worker', worker)) == 1 then
    redis.call('HSET', key('worker', worker), 'state', 'idle', 'job', '', 'token', '')
  end
end

-- Moves a job from one state to another; fields are further (name, value) pairs of the record.
local function move(job, tenant, id, from, to, kind, data, ...)
  if from == 'queued' then dequeue(job, tenant, id) end
  if from == 'running' then redis.call('HSET', job, 'trained', trained_ms(job)) end
  redis.call('HSET', job, 'state', to, ...)
  index(tenant, id, from, to)
  if from == 'running' then
    local token, rows, bits_from = get(job, 'token', 'rows', 'bits_from')
    redis.call('ZREM', key('leases'), tenant .. '/' .. id)
    redis.call('ZREM', key('deadlines'), tenant .. '/' .. id)
    redis.call('HSET', job, 'token', '', 'last_token', token, 'request', '')
    -- Nothing to be equal to: any worker may begin it, or go on.
    if tonumber(rows) <= tonumber(bits_from or 0) then
      redis.call('HDEL', job, 'fingerprint', 'facts')
    end
    free_worker(job)
  end
  if to == 'queued' then enqueue(job, tenant, id) end
  if to == 'succeeded' or to == 'failed' or to == 'cancelled' then
    redis.call('HSET', job, 'ended', now())
    redis.call('ZADD', key('ended'), now(), tenant .. '/' .. id)
    redis.call('SADD', key('unweighed'), tenant .. '/' .. id)
    redis.call('ZADD', key('unarchived'), now(), tenant .. '/' .. id)
  end
  event(job, tenant, id, kind, data)
end

-- Where the files lie that a job may still need: those of its checkpoints, of the best one, and of
-- what was best when each of them was made.
local function paths(job)
  local found = {}
  local kept, best = get(job, 'checkpoints', 'best')
  for _, checkpoint in ipairs(cjson.decode(kept)) do
    table.insert(found, checkpoint.path)
    if checkpoint.best then table.insert(found, checkpoint.best.path) end
  end
  if best then table.insert(found, cjson.decode(best).path) end
  return found
end

-- ---------------------------------------------------------------- going on with other bits

-- Forgets the marks of rows after the first *rows*.
local function cut_marks(tenant, id, rows)
  local name = key('marks', tenant, id)
  local marks = redis.call('GET', name) or ''
  local kept, num = 0, #marks / 8
  while kept < num do -- between the two lies the first that goes
    local middle = math.floor((kept + num) / 2)
    if struct.unpack('<I4', marks, 8 * middle + 1) <= rows then kept = middle + 1
    else num = middle end
  end
  if kept == 0 then redis.call('DEL', name)
  elseif 8 * kept < #marks then redis.call('SET', name, string.sub(marks, 1, 8 * kept)) end
end

-- Forgets the rows from *from* on, and what was found out in them. That they were, is not forgotten:
-- the history says how many and why, and `cuts` tells those who read them before.
local function cut(job, tenant, id, from, why)
  local rows, columns, off_plan, cuts = get(job, 'rows', 'columns', 'off_plan', 'cuts')
  rows = tonumber(rows)
  local evaluations = key('evaluations', tenant, id)
  for _, step in ipairs(redis.call('HKEYS', evaluations)) do
    if tonumber(step) >= from then redis.call('HDEL', evaluations, step) end
  end
  if off_plan and tonumber(off_plan) >= from then redis.call('HDEL', job, 'off_plan') end
  if rows <= from then return end
  local width = 8 * (columns and #cjson.decode(columns) or 2)
  local first = math.floor(from / CHUNK_ROWS)
  local left = (from - first * CHUNK_ROWS) * width
  for chunk = first, math.floor((rows - 1) / CHUNK_ROWS) do
    local name = key('rows', tenant, id, chunk)
    if chunk == first and left > 0 then
      redis.call('SET', name, redis.call('GETRANGE', name, 0, left - 1))
    else
      redis.call('DEL', name)
    end
  end
  cut_marks(tenant, id, from)
  cuts = cjson.decode(cuts or '[]')
  table.insert(cuts, from)
  redis.call('HSET', job, 'rows', from, 'replay_end', from, 'cuts', cjson.encode(cuts))
  event(job, tenant, id, 'rows_cut', cjson.encode({from = from, count = rows - from, why = why}))
end

-- Lets the job go on from *step* with other bits: rows after it are cut, what was best when that
-- checkpoint was made is best again, and from there on the bits of the next worker hold.
local function go_on_elsewhere(job, tenant, id, step, why)
  cut(job, tenant, id, step, why)
  redis.call('HSET', job, 'bits_from', step)
  redis.call('HDEL', job, 'best')
  for _, checkpoint in ipairs(cjson.decode(get(job, 'checkpoints'))) do
    if checkpoint.step == step and checkpoint.best then
      redis.call('HSET', job, 'best', cjson.encode(checkpoint.best))
    end
  end
end

local function holds(job, token)
  local state, current = get(job, 'state', 'token')
  return state == 'running' and token ~= '' and current == token
end

local function ended_by(job, token)
  local last = get(job, 'last_token')
  return token ~= '' and last == token
end

-- Whether a running job has used up its time.
local function is_over(tenant, id)
  local deadline = redis.call('ZSCORE', key('deadlines'), tenant .. '/' .. id)
  return deadline and tonumber(deadline) <= now()
end

-- What a worker is to do with a job: what its client asks for, or to stop because its time is over.
local function wish(job, tenant, id)
  local request = get(job, 'request')
  if request == '' and is_over(tenant, id) then return 'timeout' end
  return request
end

-- version -> of this library
local function version()
  return '@VERSION@'
end

redis.register_function{
  function_name = 'optserve_look', callback = look, flags = {'no-writes'}}
redis.register_function{
  function_name = 'optserve_list', callback = list, flags = {'no-writes'}}
redis.register_function{
  function_name = 'optserve_version', callback = version, flags = {'no-writes'}}
