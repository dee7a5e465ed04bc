-- What workers do with whole jobs: take them, keep them, give them back, end them.

local FAULT_PAUSE_MS, LONGEST_FAULT_PAUSE_MS = 1000, 60000

-- hello worker ttl_ms job token (field value)... : I am alive, and hold this job, or none
local function hello(_, args)
  local worker, ttl, held, token = args[1], tonumber(args[2]), args[3], args[4]
  local record = key('worker', worker)
  -- Only a record that expired is made anew: claim and the endings keep these three.
  redis.call('HSETNX', record, 'state', held == '' and 'idle' or 'busy')
  redis.call('HSETNX', record, 'job', held)
  redis.call('HSETNX', record, 'token', token)
  redis.call('HSETNX', record, 'since', now())
  redis.call('HSET', record, 'id', worker, 'seen', now(), unpack(args, 5))
  local fingerprint = redis.call('HGET', record, 'fingerprint')
  if fingerprint and fingerprint ~= '' then
    redis.call('ZADD', key('fingerprints'), now(), fingerprint)
  end
  redis.call('PEXPIRE', record, ttl)
  redis.call('ZADD', key('workers'), now() + ttl, worker)
  classify(worker, now() + ttl)
  use_library()
  return 'ok'
end

-- bye worker : I am leaving
local function bye(_, args)
  local class = get(key('worker', args[1]), 'class')
  if class then leave_class(args[1], class) end
  redis.call('DEL', key('worker', args[1]))
  redis.call('ZREM', key('workers'), args[1])
  return 'ok'
end

-- Counts how long a job has waited, in the first of the classes that hold it.
local function count_wait(job)
  local waited = now() - tonumber((get(job, 'queued')))
  local class = 'over'
  for _, most in ipairs(WAITS_MS) do
    if waited <= most then
      class = most
      break
    end
  end
  tally('waits:' .. class)
  tally('waited_ms', waited)
end

-- claim worker device fingerprint token lease_ms -> the record of the next runnable job, or nothing
local function claim(_, args)
  local worker, device, fingerprint, token = args[1], args[2], args[3], args[4]
  local lease = tonumber(args[5])
  local record = key('worker', worker)
  local held, held_token = unpack(redis.call('HMGET', record, 'job', 'token'))
  if held_token == token and held and held ~= '' then
    return redis.call('HGETALL', key('job', unpack(cjson.decode(held))))
  end
  -- Who asks for another job has none, whatever a hello that came late said of it.
  set_worker(worker, 'idle', '', '')
  local best = best_pending(device, fingerprint)
  if not best then return {} end
  local tenant, id = best.tenant, best.id
  local job = key('job', tenant, id)
  local attempt = redis.call('HINCRBY', job, 'attempt', 1)
  tally('attempts')
  count_wait(job)
  local checkpoint, rows = get(job, 'checkpoint_step', 'rows')
  redis.call('HSETNX', job, 'started', now())
  move(job, tenant, id, 'queued', 'running', 'started',
    cjson.encode({attempt = attempt, worker = worker, step = tonumber(checkpoint)}),
    'token', token, 'worker', worker, 'request', '', 'claimed', now(),
    'claim_checkpoint', checkpoint, 'replay_at', checkpoint, 'replay_end', rows)
  local held_up = get(job, 'held_up')
  if held_up then redis.call('HSET', job, 'held_up_before', held_up) end
  redis.call('ZADD', key('leases'), now() + lease, tenant .. '/' .. id)
  local limit, trained = get(job, 'time_limit', 'trained')
  if limit then
    local left = tonumber(limit) - tonumber(trained or 0)
    redis.call('ZADD', key('deadlines'), now() + left, tenant .. '/' .. id)
  end
  set_worker(worker, 'busy', cjson.encode({tenant, id}), token)
  return redis.call('HGETALL', job)
end

-- begun tenant id token fingerprint facts : on what it is computed
-- -> ok (row since which the bits are those of this fingerprint) | differs | fenced
local function begun(_, args)
  local tenant, id, token, fingerprint, facts = args[1], args[2], args[3], args[4], args[5]
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  local known, exact, step = get(job, 'fingerprint', 'exact', 'checkpoint_step')
  if not known or known == '' then
    redis.call('HSET', job, 'fingerprint', fingerprint, 'facts', facts)
  elseif known ~= fingerprint then
    if exact ~= '0' then return {'differs'} end
    redis.call('HSET', job, 'fingerprint', fingerprint, 'facts', facts)
    event(job, tenant, id, 'continued_elsewhere',
      cjson.encode({from = known, to = fingerprint, step = tonumber(step)}))
    go_on_elsewhere(job, tenant, id, tonumber(step), 'continued by a worker with other bits')
  end
  return {'ok', tonumber((get(job, 'bits_from')) or 0)}
end

-- renew tenant id token lease_ms -> ok request | fenced
local function renew(_, args)
  local tenant, id, token, lease = args[1], args[2], args[3], tonumber(args[4])
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  redis.call('ZADD', key('leases'), now() + lease, tenant .. '/' .. id)
  return {'ok', wish(job, tenant, id)}
end

-- wanted tenant id token -> ok request | fenced : what is to be done with a job; nothing changes
local function wanted(_, args)
  local tenant, id = args[1], args[2]
  local job = key('job', tenant, id)
  if not holds(job, args[3]) then return {'fenced'} end
  return {'ok', wish(job, tenant, id)}
end

-- finish tenant id token rows digest result artifacts (completed | early_stopped)
-- -> ok | already | gap rows | fenced
local function finish(_, args)
  local tenant, id, token, rows = args[1], args[2], args[3], tonumber(args[4])
  local job = key('job', tenant, id)
  if not holds(job, token) then
    return {ended_by(job, token) and 'already' or 'fenced'}
  end
  local stored = tonumber((get(job, 'rows')))
  if stored ~= rows then return {'gap', stored} end
  move(job, tenant, id, 'running', 'succeeded', 'succeeded',
    cjson.encode({rows = rows, ended = args[8]}),
    'digest', args[5], 'result', args[6], 'artifacts', args[7], 'ending', args[8])
  tally('ended:succeeded')
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
  tally('ended:' .. reason)
  return {'ok'}
end

local function time_out(job, tenant, id)
  local limit, step = get(job, 'time_limit', 'checkpoint_step')
  local detail = string.format('workers have had it for its time_limit_s of %.14g s; '
    .. 'the last checkpoint is of step %s', tonumber(limit) / 1000, step)
  move(job, tenant, id, 'running', 'failed', 'failed',
    cjson.encode({reason = 'timeout', detail = detail}), 'reason', 'timeout', 'detail', detail)
  tally('ended:timeout')
end

-- Notes that a machine was not fit to train a job, and how: its first such worker gives it to another
-- one at once; after that it waits for ever longer, up to a minute, until it moves again.
local function note_fault(job, fault)
  local faults = redis.call('HINCRBY', job, 'faults', 1)
  local pause = faults == 1 and 0 or math.min(FAULT_PAUSE_MS * 2 ^ (faults - 2), LONGEST_FAULT_PAUSE_MS)
  redis.call('HSETNX', job, 'fault_since', now())
  redis.call('HSET', job, 'fault', fault, 'not_before', now() + pause)
end

-- Takes a running job from its worker: to where the client wanted it, else back into the queue.
-- A worker that went away is not the job's failure, unless it happens three times without a new
-- checkpoint in between; and a machine that is not well never is.
local function take_back(job, tenant, id, why, crashed, ill)
  local request, crashes, checkpoint, at_claim, attempt =
    get(job, 'request', 'crashes', 'checkpoint_step', 'claim_checkpoint', 'attempt')
  crashes = tonumber(checkpoint) > tonumber(at_claim) and 0 or tonumber(crashes)
  local data = cjson.encode({why = why, attempt = tonumber(attempt), step = tonumber(checkpoint)})
  if request == 'cancel' or request == 'kill' then
    tally('ended:cancelled')
    return move(job, tenant, id, 'running', 'cancelled', 'cancelled', data)
  end
  if request == 'pause' then
    tally('ended:paused')
    return move(job, tenant, id, 'running', 'paused', 'paused', data, 'crashes', crashes)
  end
  if is_over(tenant, id) then return time_out(job, tenant, id) end
  if crashed then crashes = crashes + 1 end
  if crashes >= MAX_CRASHES then
    tally('ended:crash_loop')
    return move(job, tenant, id, 'running', 'failed', 'failed',
      cjson.encode({reason = 'crash_loop', detail = why}), 'reason', 'crash_loop', 'detail', why)
  end
  tally(ill and 'ended:machine_fault' or crashed and 'ended:lost' or 'ended:given_back')
  move(job, tenant, id, 'running', 'queued', 'requeued', data, 'crashes', crashes)
end

-- release tenant id token why (left | crashed | fault)
-- -> the state afterwards (device to ring)... | already (device to ring)... | fenced
local function release(_, args)
  local tenant, id, token, why, crashed = args[1], args[2], args[3], args[4], args[5] == 'crashed'
  local job = key('job', tenant, id)
  if not holds(job, token) then
    if not ended_by(job, token) then return {'fenced'} end
    local waits = get(job, 'state') == 'queued'
    return {'already', unpack(waits and bells(job) or {})} -- who released it may not have rung
  end
  if args[5] == 'fault' then note_fault(job, why) end
  take_back(job, tenant, id, why, crashed, args[5] == 'fault')
  local state = get(job, 'state')
  if state == 'queued' then return {state, unpack(bells(job))} end
  return {state}
end

register('hello', hello)
register('bye', bye)
register('claim', claim)
register('begun', begun)
register('renew', renew)
register('wanted', wanted, {'no-writes'})
register('finish', finish)
register('fail', fail)
register('release', release)
