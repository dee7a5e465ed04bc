-- What clients do.

-- recall tenant idempotency_key body_sha -> (none | replayed | conflict), {}, the record
local function recall(_, args)
  local tenant, idem, body_sha = args[1], args[2], args[3]
  local known = redis.call('HMGET', key('idempotency', tenant, idem), 'id', 'sha')
  if not known[1] then return {'none', {}, {}} end
  return {known[2] == body_sha and 'replayed' or 'conflict', {}, view(key('job', tenant, known[1]))}
end

-- submit tenant id idempotency_key body_sha (field value)...
-- -> (created | replayed | conflict), {device to ring...}, the record
local function submit(_, args)
  local tenant, id, idem, body_sha = args[1], args[2], args[3], args[4]
  local job = key('job', tenant, id)
  if redis.call('EXISTS', job) == 1 then
    return {'created', bells(job), view(job)}
  end
  if idem ~= '' then
    local known = redis.call('HMGET', key('idempotency', tenant, idem), 'id', 'sha')
    if known[1] then
      return {known[2] == body_sha and 'replayed' or 'conflict', {},
        view(key('job', tenant, known[1]))}
    end
    redis.call('HSET', key('idempotency', tenant, idem), 'id', id, 'sha', body_sha)
  end
  local number = redis.call('INCR', key('number')) -- age: a job given back keeps its place
  redis.call('HSET', job, 'id', id, 'tenant', tenant, 'state', 'queued', 'created', now(),
    'number', number, 'attempt', 0, 'crashes', 0, 'rows', 0, 'checkpoint_step', 0,
    'checkpoints', '[]', 'verified', 0, 'token', '', 'last_token', '', 'request', '', 'rev', 0,
    'idempotency', idem, 'format', FORMAT, unpack(args, 5))
  redis.call('ZADD', key('jobs', tenant), 0, id)
  redis.call('SADD', key('tenants'), tenant)
  index(tenant, id, nil, 'queued')
  add_to_labels(job, tenant, id)
  indexed_next(number)
  enqueue(job, tenant, id)
  event(job, tenant, id, 'submitted')
  return {'created', bells(job), view(job)}
end

-- ask tenant id (cancel | kill | pause | resume) -> {device to ring...}, the record (empty if there
-- is no such job)
local function ask(_, args)
  local tenant, id, action = args[1], args[2], args[3]
  local job = key('job', tenant, id)
  local state, request, format = get(job, 'state', 'request', 'format')
  if not state then return {{}, {}} end
  require_known(format)
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
  return {ring, view(job)}
end

-- What stands in the way of changing how a job goes on, or nil: only one that waits has nobody who
-- computes rows at the same time.
local function hindrance(state)
  if not state then return 'missing' end
  if state == 'running' then return 'running' end
  if state ~= 'queued' and state ~= 'paused' then return 'ended' end
end

-- Changes a waiting job with *change*, which may move it to another lane.
local function in_another_lane(job, tenant, id, state, change)
  if state == 'queued' then dequeue(job, tenant, id) end
  change()
  if state == 'queued' then enqueue(job, tenant, id) end
end

local function answered(job, outcome)
  local state = get(job, 'state')
  return {outcome, state == 'queued' and bells(job) or {}, view(job)}
end

-- restart tenant id -> (ok | missing | running | ended), {device to ring...}, the record
local function restart(_, args)
  local tenant, id = args[1], args[2]
  local job = key('job', tenant, id)
  local state, rows, checkpoints, format = get(job, 'state', 'rows', 'checkpoints', 'format')
  require_known(format)
  local why_not = hindrance(state)
  if why_not then return answered(job, why_not) end
  if rows == '0' and checkpoints == '[]' then return answered(job, 'ok') end
  in_another_lane(job, tenant, id, state, function()
    event(job, tenant, id, 'restarted', cjson.encode({rows = tonumber(rows)}))
    cut(job, tenant, id, 0, 'restarted')
    redis.call('HDEL', job, 'fingerprint', 'facts', 'bits_from', 'best')
    forget_fault(job)
    redis.call('HSET', job, 'checkpoints', '[]', 'checkpoint_step', 0, 'claim_checkpoint', 0,
      'verified', 0, 'crashes', 0)
  end)
  return answered(job, 'ok')
end

-- accept tenant id -> (ok | missing | running | ended), {device to ring...}, the record
local function accept(_, args)
  local tenant, id = args[1], args[2]
  local job = key('job', tenant, id)
  local state, fingerprint, step, format =
    get(job, 'state', 'fingerprint', 'checkpoint_step', 'format')
  require_known(format)
  local why_not = hindrance(state)
  if why_not then return answered(job, why_not) end
  if not at_fingerprint(lane(job)) then return answered(job, 'ok') end -- any worker may have it
  in_another_lane(job, tenant, id, state, function()
    event(job, tenant, id, 'accepted',
      cjson.encode({fingerprint = fingerprint, step = tonumber(step)}))
    go_on_elsewhere(job, tenant, id, tonumber(step), 'other bits were accepted')
    redis.call('HDEL', job, 'fingerprint', 'facts')
  end)
  return answered(job, 'ok')
end

register('recall', recall, {'no-writes'})
register('submit', submit)
register('restart', restart)
register('accept', accept)
register('ask', ask)
