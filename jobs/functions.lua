#!lua name=optserve
-- The job protocol: every transition of a job is one of these functions.
--
-- A function checks state and token, changes the record, and says what happened, so that a call
-- repeated after a lost reply does nothing twice. Time is the server's. Rows of metrics are
-- written by offset. `keys.py` fills in what stands between @ signs: every key is named there.
--
-- The keys are not declared to the server: this is for one primary, not for a cluster.

local KEYS = @KEYS@
local CHUNK_ROWS = @CHUNK_ROWS@
local MAX_CRASHES = @MAX_CRASHES@
local RING_AFTER_MS = @RING_AFTER_MS@
local PRIORITY_STEP = 1e12 -- more jobs than there will be; scores stay below 2^53

local function key(name, ...)
  return string.format(KEYS[name], ...)
end

local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- ---------------------------------------------------------------- the record

local function get(job, ...)
  return unpack(redis.call('HMGET', job, ...))
end

local function event(job, tenant, id, kind, data)
  local rev = redis.call('HINCRBY', job, 'rev', 1)
  redis.call('XADD', key('events', tenant, id), rev .. '-0',
    'at', now(), 'kind', kind, 'data', data or '{}')
end

local function index(tenant, id, from, to)
  if from then redis.call('ZREM', key('jobs_in_state', tenant, from), id) end
  redis.call('ZADD', key('jobs_in_state', tenant, to), 0, id)
end

local function enqueue(job, tenant, id)
  local device, priority, number = get(job, 'device', 'priority', 'number')
  local score = (100 - tonumber(priority)) * PRIORITY_STEP + tonumber(number)
  redis.call('HSET', job, 'queued', now())
  redis.call('ZADD', key('pending', device, tenant), score, id)
  redis.call('SADD', key('waiting', device), tenant)
end

-- The devices whose bell should be rung for a job: those it may run on that have an idle worker.
-- A busy worker asks for the next job by itself when it is done.
local function bells(job)
  local wanted = get(job, 'device')
  local found, seen = {}, {}
  for _, worker in ipairs(redis.call('ZRANGE', key('workers'), '(' .. now(), '+inf', 'BYSCORE')) do
    local state, device = unpack(redis.call('HMGET', key('worker', worker), 'state', 'device'))
    if state == 'idle' and (wanted == 'auto' or wanted == device) and not seen[device] then
      seen[device] = true
      table.insert(found, device)
    end
  end
  return found
end

local function dequeue(job, tenant, id)
  local device = get(job, 'device')
  redis.call('ZREM', key('pending', device, tenant), id)
  if redis.call('EXISTS', key('pending', device, tenant)) == 0 then
    redis.call('SREM', key('waiting', device), tenant)
  end
end

local function free_worker(job)
  local worker = get(job, 'worker')
  if worker and redis.call('EXISTS', key('worker', worker)) == 1 then
    redis.call('HSET', key('worker', worker), 'state', 'idle', 'job', '', 'token', '')
  end
end

-- Moves a job from one state to another; fields are further (name, value) pairs of the record.
local function move(job, tenant, id, from, to, kind, data, ...)
  redis.call('HSET', job, 'state', to, ...)
  index(tenant, id, from, to)
  if from == 'queued' then dequeue(job, tenant, id) end
  if from == 'running' then
    local token = get(job, 'token')
    redis.call('ZREM', key('leases'), tenant .. '/' .. id)
    redis.call('HSET', job, 'token', '', 'last_token', token, 'request', '')
    free_worker(job)
  end
  if to == 'queued' then enqueue(job, tenant, id) end
  if to == 'succeeded' or to == 'failed' or to == 'cancelled' then
    redis.call('HSET', job, 'ended', now())
  end
  event(job, tenant, id, kind, data)
end

local function holds(job, token)
  local state, current = get(job, 'state', 'token')
  return state == 'running' and token ~= '' and current == token
end

local function ended_by(job, token)
  local last = get(job, 'last_token')
  return token ~= '' and last == token
end

-- ---------------------------------------------------------------- clients

-- submit tenant id idempotency_key body_sha (field value)...
-- -> (created | replayed | conflict), {device to ring...}, the record
local function submit(_, args)
  local tenant, id, idem, body_sha = args[1], args[2], args[3], args[4]
  local job = key('job', tenant, id)
  if redis.call('EXISTS', job) == 1 then
    return {'created', bells(job), redis.call('HGETALL', job)}
  end
  if idem ~= '' then
    local known = redis.call('HMGET', key('idempotency', tenant, idem), 'id', 'sha')
    if known[1] then
      return {known[2] == body_sha and 'replayed' or 'conflict', {},
        redis.call('HGETALL', key('job', tenant, known[1]))}
    end
    redis.call('HSET', key('idempotency', tenant, idem), 'id', id, 'sha', body_sha)
  end
  local number = redis.call('INCR', key('number')) -- age: a job given back keeps its place
  redis.call('HSET', job, 'id', id, 'tenant', tenant, 'state', 'queued', 'created', now(),
    'number', number, 'attempt', 0, 'crashes', 0, 'rows', 0, 'checkpoint_step', 0, 'verified', 0, 'token', '',
    'last_token', '', 'request', '', 'rev', 0, 'idempotency', idem, unpack(args, 5))
  redis.call('ZADD', key('jobs', tenant), 0, id)
  index(tenant, id, nil, 'queued')
  enqueue(job, tenant, id)
  event(job, tenant, id, 'submitted')
  return {'created', bells(job), redis.call('HGETALL', job)}
end

-- ask tenant id (cancel | kill | pause | resume) -> {device to ring...}, the record (empty if there
-- is no such job)
local function ask(_, args)
  local tenant, id, action = args[1], args[2], args[3]
  local job = key('job', tenant, id)
  local state, request = get(job, 'state', 'request')
  if not state then return {{}, {}} end
  local ring = {}
  if action == 'resume' then
    if state == 'paused' then
      move(job, tenant, id, 'paused', 'queued', 'resumed')
      ring = bells(job)
    elseif state == 'running' and request == 'pause' then
      redis.call('HSET', job, 'request', '')
      event(job, tenant, id, 'resumed')
    end
  elseif state == 'running' then
    -- A stronger wish replaces a weaker one: pause, cancel, kill.
    local strength = {[''] = 0, pause = 1, cancel = 2, kill = 3}
    if strength[action] > strength[request] then
      redis.call('HSET', job, 'request', action)
      event(job, tenant, id, action .. '_requested')
    end
  elseif (state == 'queued' or state == 'paused') and action ~= 'pause' then
    move(job, tenant, id, state, 'cancelled', 'cancelled')
  elseif state == 'queued' then
    move(job, tenant, id, 'queued', 'paused', 'paused')
  end
  return {ring, redis.call('HGETALL', job)}
end

-- ---------------------------------------------------------------- workers

-- hello worker ttl_ms (field value)... : I am alive
local function hello(_, args)
  local worker, ttl = args[1], tonumber(args[2])
  local record = key('worker', worker)
  if redis.call('EXISTS', record) == 0 then
    redis.call('HSET', record, 'id', worker, 'state', 'idle', 'job', '', 'token', '',
      'since', now())
  end
  redis.call('HSET', record, 'seen', now(), unpack(args, 3))
  redis.call('PEXPIRE', record, ttl)
  redis.call('ZADD', key('workers'), now() + ttl, worker)
  return 'ok'
end

-- bye worker : I am leaving
local function bye(_, args)
  redis.call('DEL', key('worker', args[1]))
  redis.call('ZREM', key('workers'), args[1])
  return 'ok'
end

-- The best pending job for a device: highest priority, then the tenant with the fewest running
-- jobs, then the oldest.
local function best_pending(device)
  local best
  for _, queue in ipairs({device, 'auto'}) do
    for _, tenant in ipairs(redis.call('SMEMBERS', key('waiting', queue))) do
      local head = redis.call('ZRANGE', key('pending', queue, tenant), 0, 0, 'WITHSCORES')
      if head[1] then
        local score = tonumber(head[2])
        local found = {tenant = tenant, id = head[1],
          rank = math.floor(score / PRIORITY_STEP),
          share = redis.call('ZCARD', key('jobs_in_state', tenant, 'running')),
          number = score % PRIORITY_STEP}
        if not best or found.rank < best.rank
          or found.rank == best.rank and (found.share < best.share
            or found.share == best.share and found.number < best.number) then
          best = found
        end
      end
    end
  end
  return best
end

-- claim worker device token lease_ms -> the record of the next runnable job, or nothing
local function claim(_, args)
  local worker, device, token, lease = args[1], args[2], args[3], tonumber(args[4])
  local record = key('worker', worker)
  local held, held_token = unpack(redis.call('HMGET', record, 'job', 'token'))
  if held_token == token and held and held ~= '' then
    return redis.call('HGETALL', key('job', unpack(cjson.decode(held))))
  end
  local best = best_pending(device)
  if not best then return {} end
  local tenant, id = best.tenant, best.id
  local job = key('job', tenant, id)
  local attempt = redis.call('HINCRBY', job, 'attempt', 1)
  local checkpoint, rows = get(job, 'checkpoint_step', 'rows')
  redis.call('HSETNX', job, 'started', now())
  move(job, tenant, id, 'queued', 'running', 'started',
    cjson.encode({attempt = attempt, worker = worker, step = tonumber(checkpoint)}),
    'token', token, 'worker', worker, 'request', '', 'claimed', now(),
    'claim_checkpoint', checkpoint, 'replay_at', checkpoint, 'replay_end', rows)
  redis.call('ZADD', key('leases'), now() + lease, tenant .. '/' .. id)
  redis.call('HSET', record, 'state', 'busy', 'job', cjson.encode({tenant, id}), 'token', token)
  return redis.call('HGETALL', job)
end

local function extend(tenant, id, lease)
  redis.call('ZADD', key('leases'), now() + lease, tenant .. '/' .. id)
end

-- renew tenant id token lease_ms -> ok request | fenced
local function renew(_, args)
  local tenant, id, token, lease = args[1], args[2], args[3], tonumber(args[4])
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  extend(tenant, id, lease)
  return {'ok', (get(job, 'request'))}
end

-- Calls fn(chunk, offset in the chunk, first and last byte of data) for each chunk that rows
-- [first, first + count) touch.
local function each_chunk(first, count, width, fn)
  local row = first
  while row < first + count do
    local chunk = math.floor(row / CHUNK_ROWS)
    local in_chunk = row - chunk * CHUNK_ROWS
    local n = math.min(CHUNK_ROWS - in_chunk, first + count - row)
    local from = (row - first) * width
    fn(chunk, in_chunk * width, from + 1, from + n * width)
    row = row + n
  end
end

-- append tenant id token first width data lease_ms
-- -> ok rows request | fenced | gap rows | differs row
local function append(_, args)
  local tenant, id, token = args[1], args[2], args[3]
  local first, width, data, lease = tonumber(args[4]), tonumber(args[5]), args[6], tonumber(args[7])
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  local rows, request, replay_at, replay_end =
    get(job, 'rows', 'request', 'replay_at', 'replay_end')
  rows, replay_at, replay_end = tonumber(rows), tonumber(replay_at), tonumber(replay_end)
  if first > rows then return {'gap', rows} end
  local count = #data / width
  local overlap = math.min(count, rows - first)
  local differs
  each_chunk(first, overlap, width, function(chunk, offset, from, to)
    local stored = redis.call('GETRANGE', key('rows', tenant, id, chunk), offset,
      offset + to - from)
    local sent = string.sub(data, from, to)
    if stored ~= sent and not differs then
      for at = 0, (#sent / width) - 1 do
        local a, b = at * width + 1, (at + 1) * width
        if string.sub(stored, a, b) ~= string.sub(sent, a, b) then
          differs = chunk * CHUNK_ROWS + offset / width + at
          break
        end
      end
    end
  end)
  if differs then return {'differs', differs} end
  local seen = math.min(first + overlap, replay_end)
  if seen > replay_at then
    redis.call('HINCRBY', job, 'verified', seen - replay_at)
    redis.call('HSET', job, 'replay_at', seen)
  end
  if count > overlap then
    local tail = string.sub(data, overlap * width + 1)
    each_chunk(first + overlap, count - overlap, width, function(chunk, offset, from, to)
      local name = key('rows', tenant, id, chunk)
      redis.call('SETRANGE', name, offset, string.sub(tail, from, to))
      if offset + to - from + 1 == CHUNK_ROWS * width then
        redis.call('SET', name, redis.call('GET', name)) -- full: give back the growth slack
      end
    end)
    redis.call('HSET', job, 'rows', first + count)
  end
  extend(tenant, id, lease)
  return {'ok', first + count, request}
end

-- evaluated tenant id token step data -> ok | fenced | differs
local function evaluated(_, args)
  local tenant, id, token, step, data = args[1], args[2], args[3], args[4], args[5]
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  local known = redis.call('HGET', key('evaluations', tenant, id), step)
  if known then return {known == data and 'ok' or 'differs'} end
  redis.call('HSET', key('evaluations', tenant, id), step, data)
  event(job, tenant, id, 'evaluated', data)
  return {'ok'}
end

-- checkpointed tenant id token step path sha digest -> ok | stale | gap rows | fenced
local function checkpointed(_, args)
  local tenant, id, token, step = args[1], args[2], args[3], tonumber(args[4])
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  local rows, last = get(job, 'rows', 'checkpoint_step')
  if step > tonumber(rows) then return {'gap', tonumber(rows)} end
  if step <= tonumber(last) then return {'stale'} end
  redis.call('HSET', job, 'checkpoint_step', step, 'checkpoint_path', args[5],
    'checkpoint_sha', args[6])
  event(job, tenant, id, 'checkpointed', cjson.encode({step = step, digest = args[7]}))
  return {'ok'}
end

-- noted tenant id token kind data -> ok | fenced : a remark of the worker for the history
local function noted(_, args)
  local tenant, id, token = args[1], args[2], args[3]
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  event(job, tenant, id, args[4], args[5])
  return {'ok'}
end

-- finish tenant id token rows digest result artifacts -> ok | already | gap rows | fenced
local function finish(_, args)
  local tenant, id, token, rows = args[1], args[2], args[3], tonumber(args[4])
  local job = key('job', tenant, id)
  if not holds(job, token) then
    return {ended_by(job, token) and 'already' or 'fenced'}
  end
  local stored = tonumber((get(job, 'rows')))
  if stored ~= rows then return {'gap', stored} end
  move(job, tenant, id, 'running', 'succeeded', 'succeeded', cjson.encode({rows = rows}),
    'digest', args[5], 'result', args[6], 'artifacts', args[7])
  return {'ok'}
end

-- fail tenant id token reason detail -> ok | already | fenced
local function fail(_, args)
  local tenant, id, token, reason, detail = args[1], args[2], args[3], args[4], args[5]
  local job = key('job', tenant, id)
  if not holds(job, token) then
    return {ended_by(job, token) and 'already' or 'fenced'}
  end
  move(job, tenant, id, 'running', 'failed', 'failed',
    cjson.encode({reason = reason, detail = detail}), 'reason', reason, 'detail', detail)
  return {'ok'}
end

-- Takes a running job from its worker: to where the client wanted it, else back into the queue.
-- A worker that went away is not the job's failure, unless it happens three times without a new
-- checkpoint in between.
local function take_back(job, tenant, id, why, crashed)
  local request, crashes, checkpoint, at_claim, attempt =
    get(job, 'request', 'crashes', 'checkpoint_step', 'claim_checkpoint', 'attempt')
  local data = cjson.encode({why = why, attempt = tonumber(attempt), step = tonumber(checkpoint)})
  if request == 'cancel' or request == 'kill' then
    return move(job, tenant, id, 'running', 'cancelled', 'cancelled', data)
  end
  if request == 'pause' then
    return move(job, tenant, id, 'running', 'paused', 'paused', data)
  end
  if tonumber(checkpoint) > tonumber(at_claim) then crashes = 0 end
  if crashed then crashes = crashes + 1 end
  if tonumber(crashes) >= MAX_CRASHES then
    return move(job, tenant, id, 'running', 'failed', 'failed',
      cjson.encode({reason = 'crash_loop', detail = why}), 'reason', 'crash_loop', 'detail', why)
  end
  move(job, tenant, id, 'running', 'queued', 'requeued', data, 'crashes', crashes)
end

-- release tenant id token why (0 | 1: crashed)
-- -> the state afterwards (device to ring)... | already | fenced
local function release(_, args)
  local tenant, id, token, why, crashed = args[1], args[2], args[3], args[4], args[5] == '1'
  local job = key('job', tenant, id)
  if not holds(job, token) then
    return {ended_by(job, token) and 'already' or 'fenced'}
  end
  take_back(job, tenant, id, why, crashed)
  local state = get(job, 'state')
  if state == 'queued' then return {state, unpack(bells(job))} end
  return {state}
end

-- ---------------------------------------------------------------- the reaper

-- Whether a job has waited beside an idle worker for so long that a ring must have been lost.
local function overdue(device)
  local best = best_pending(device)
  if not best then return false end
  local queued = get(key('job', best.tenant, best.id), 'queued')
  if tonumber(queued) > now() - RING_AFTER_MS then return false end
  local rung = redis.call('GET', key('rung', device))
  if rung and tonumber(rung) > now() - RING_AFTER_MS then return false end
  return #bells(key('job', best.tenant, best.id)) > 0
end

-- reap limit -> {tenant/id of each job whose lease was over...}, {device to ring...}
local function reap(_, args)
  local over = redis.call('ZRANGE', key('leases'), '-inf', now(), 'BYSCORE', 'LIMIT', 0, args[1])
  for _, worker in ipairs(redis.call('ZRANGE', key('workers'), '-inf', now(), 'BYSCORE')) do
    redis.call('DEL', key('worker', worker))
    redis.call('ZREM', key('workers'), worker)
  end
  local ring = {}
  for _, member in ipairs(over) do
    local tenant, id = string.match(member, '^(.-)/(.*)$')
    local job = key('job', tenant, id)
    take_back(job, tenant, id, 'the worker went away', true)
    if get(job, 'state') == 'queued' then
      for _, device in ipairs(bells(job)) do table.insert(ring, device) end
    end
  end
  for _, device in ipairs({'cpu', 'cuda'}) do
    if overdue(device) then
      redis.call('SET', key('rung', device), now())
      table.insert(ring, device)
    end
  end
  return {over, ring}
end

redis.register_function('optserve_submit', submit)
redis.register_function('optserve_ask', ask)
redis.register_function('optserve_hello', hello)
redis.register_function('optserve_bye', bye)
redis.register_function('optserve_claim', claim)
redis.register_function('optserve_renew', renew)
redis.register_function('optserve_append', append)
redis.register_function('optserve_evaluated', evaluated)
redis.register_function('optserve_checkpointed', checkpointed)
redis.register_function('optserve_noted', noted)
redis.register_function('optserve_finish', finish)
redis.register_function('optserve_fail', fail)
redis.register_function('optserve_release', release)
redis.register_function('optserve_reap', reap)
