-- What clients request: a new job, or a change to a job.

-- recall tenant idempotency_key body_sha -> (none | replayed | conflict), {}, the record
local function recall(_, args)
  local tenant, idem, body_sha = unpack(args)
  local known = redis.call('HMGET', key('idempotency', tenant, idem), 'id', 'sha')
  if not known[1] then return {'none', {}, {}} end
  return {known[2] == body_sha and 'replayed' or 'conflict', {}, view(key('job', tenant, known[1]))}
end

-- Whether a submission repeats the request with which its Idempotency-Key was first used. The hashes
-- *sha* and *body_sha* are those of whole specs, with all defaults. A release that adds a field gets
-- another hash for the same body, so the posted specs are compared too. Those of clones are not compared,
-- since they do not name the job that was cloned.
local function is_repeated(job, sha, body_sha, flat)
  if sha == body_sha then return true end
  local fields, posted, parent = {}, get(job, 'posted', 'parent')
  for i = 1, #flat, 2 do fields[flat[i]] = flat[i + 1] end
  return not (parent or fields.parent) and posted and posted == fields.posted
end

-- submit tenant id idempotency_key body_sha (field value)...
-- -> (created | replayed | conflict), {device to wake...}, the record
local function submit(_, args)
  local tenant, id, idem, body_sha = unpack(args)
  local job = key('job', tenant, id)
  if redis.call('EXISTS', job) == 1 then
    return {'created', wakeups(job), view(job)}
  end
  if idem ~= '' then
    local known = redis.call('HMGET', key('idempotency', tenant, idem), 'id', 'sha')
    if known[1] then
      local first = key('job', tenant, known[1])
      local repeated = is_repeated(first, known[2], body_sha, {unpack(args, 5)})
      return {repeated and 'replayed' or 'conflict', {}, view(first)}
    end
    redis.call('HSET', key('idempotency', tenant, idem), 'id', id, 'sha', body_sha)
  end
  -- The number gives the job's age: a job that a worker released keeps its place in the queue.
  local number = redis.call('INCR', key('number'))
  redis.call('HSET', job, 'id', id, 'tenant', tenant, 'state', STATE.queued,
    'created', now(),
    'number', number, 'attempt', 0, 'crashes', 0, 'rows', 0, 'checkpoint_step', 0,
    'checkpoints', '[]', 'verified', 0, 'token', '', 'last_token', '', 'request', '', 'rev', 0,
    'idempotency', idem, 'format', FORMAT, unpack(args, 5))
  redis.call('ZADD', key('jobs', tenant), 0, id)
  redis.call('SADD', key('tenants'), tenant)
  index(tenant, id, nil, STATE.queued)
  add_to_labels(job, tenant, id)
  indexed_next(number)
  enqueue(job, tenant, id)
  event(job, tenant, id, EVENT.submitted)
  return {'created', wakeups(job), view(job)}
end

-- ask tenant id (cancel | kill | pause | resume) -> {device to wake...}, the record (empty if there
-- is no such job)
local function ask(_, args)
  local tenant, id, action = unpack(args)
  local job = key('job', tenant, id)
  local state, request, format = get(job, 'state', 'request', 'format')
  if not state then return {{}, {}} end
  require_known(format)
  local ring = {}
  if action == 'resume' then
    if state == STATE.paused then
      move(job, tenant, id, STATE.paused, STATE.queued, EVENT.resumed)
      ring = wakeups(job)
    elseif state == STATE.running and request == 'pause' then
      redis.call('HSET', job, 'request', '')
      event(job, tenant, id, EVENT.resumed)
    end
  elseif state == STATE.running then
    -- A stronger request replaces a weaker one, never the other way: a kill must not become a pause.
    local strength = {[''] = 0, pause = 1, cancel = 2, kill = 3}
    if strength[action] > strength[request] then
      redis.call('HSET', job, 'request', action)
      event(job, tenant, id, EVENT[action .. '_requested'])
    end
  elseif (state == STATE.queued or state == STATE.paused) and action ~= 'pause' then
    move(job, tenant, id, state, STATE.cancelled, EVENT.cancelled)
  elseif state == STATE.queued then
    move(job, tenant, id, STATE.queued, STATE.paused, EVENT.paused)
  end
  return {ring, view(job)}
end

-- Why a job cannot be changed now, or nil. A job can be changed while it is queued or paused, since no
-- worker computes its rows then.
local function hindrance(state)
  if not state then return 'missing' end
  if state == STATE.running then return 'running' end
  if state ~= STATE.queued and state ~= STATE.paused then return 'ended' end
end

-- Calls *change* for a queued or paused job; a queued job is then moved to the lane that now fits.
local function in_another_lane(job, tenant, id, state, change)
  if state == STATE.queued then dequeue(job, tenant, id) end
  change()
  if state == STATE.queued then enqueue(job, tenant, id) end
end

local function answered(job, outcome)
  local state = get(job, 'state')
  return {outcome, state == STATE.queued and wakeups(job) or {}, view(job)}
end

-- restart tenant id -> (ok | missing | running | ended), {device to wake...}, the record
local function restart(_, args)
  local tenant, id = unpack(args)
  local job = key('job', tenant, id)
  local state, rows, checkpoints, format = get(job, 'state', 'rows', 'checkpoints', 'format')
  require_known(format)
  local why_not = hindrance(state)
  if why_not then return answered(job, why_not) end
  if rows == '0' and checkpoints == '[]' then return answered(job, 'ok') end
  in_another_lane(job, tenant, id, state, function()
    event(job, tenant, id, EVENT.restarted, cjson.encode({rows = tonumber(rows)}))
    truncate(job, tenant, id, 0, 'restarted')
    redis.call('HDEL', job, 'fingerprint', 'facts', 'bits_from', 'best')
    forget_fault(job)
    redis.call('HSET', job, 'checkpoints', '[]', 'checkpoint_step', 0, 'claim_checkpoint', 0,
      'verified', 0, 'crashes', 0)
  end)
  return answered(job, 'ok')
end

-- accept tenant id -> (ok | missing | running | ended), {device to wake...}, the record
local function accept(_, args)
  local tenant, id = unpack(args)
  local job = key('job', tenant, id)
  local state, fingerprint, step, format =
    get(job, 'state', 'fingerprint', 'checkpoint_step', 'format')
  require_known(format)
  local why_not = hindrance(state)
  if why_not then return answered(job, why_not) end
  if not at_fingerprint(lane(job)) then return answered(job, 'ok') end -- any worker may take it
  in_another_lane(job, tenant, id, state, function()
    event(job, tenant, id, EVENT.accepted,
      cjson.encode({fingerprint = fingerprint, step = tonumber(step)}))
    go_on_elsewhere(job, tenant, id, tonumber(step), 'another fingerprint was accepted')
    redis.call('HDEL', job, 'fingerprint', 'facts')
  end)
  return answered(job, 'ok')
end

register('recall', recall, {'no-writes'})
register('submit', submit)
register('restart', restart)
register('accept', accept)
register('ask', ask)
