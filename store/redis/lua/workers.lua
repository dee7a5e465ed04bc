-- What workers call: they send heartbeats, claim a job, renew its lease, and end or release the job.


-- hello worker ttl_ms job token (field value)... : the heartbeat of a worker; job is empty, or
-- {tenant, id} as JSON
local function hello(_, args)
  local worker, ttl_ms, claimed, token = unpack(args)
  local ttl = tonumber(ttl_ms)
  local record = key('worker', worker)
  -- Set only if the record had expired: otherwise `claim` and the ends of attempts set these fields.
  redis.call('HSETNX', record, 'state', claimed == '' and 'idle' or 'busy')
  redis.call('HSETNX', record, 'job', claimed)
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

-- bye worker : the worker stops
local function bye(_, args)
  local worker = unpack(args)
  local class = get(key('worker', worker), 'class')
  if class then leave_class(worker, class) end
  redis.call('DEL', key('worker', worker))
  redis.call('ZREM', key('workers'), worker)
  return 'ok'
end

-- Counts how long a job was queued, in the histogram class with the smallest sufficient bound.
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
  local worker, device, fingerprint, token, lease_ms = unpack(args)
  local record = key('worker', worker)
  local claimed, claimed_token = unpack(redis.call('HMGET', record, 'job', 'token'))
  if claimed_token == token and claimed and claimed ~= '' then
    return view(key('job', unpack(cjson.decode(claimed))))
  end
  -- A worker that claims a job has none, whatever a heartbeat that arrived late has recorded.
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
  move(job, tenant, id, STATE.queued, STATE.running, EVENT.started,
    cjson.encode({attempt = attempt, worker = worker, step = tonumber(checkpoint)}),
    'token', token, 'worker', worker, 'request', '', 'claimed', now(),
    'claim_checkpoint', checkpoint, 'replay_at', checkpoint, 'replay_end', rows)
  local held_up = get(job, 'held_up')
  if held_up then redis.call('HSET', job, 'held_up_before', held_up) end
  redis.call('ZADD', key('leases'), now() + tonumber(lease_ms), tenant .. '/' .. id)
  local limit, trained = get(job, 'time_limit', 'trained')
  if limit then
    local left = tonumber(limit) - tonumber(trained or 0)
    redis.call('ZADD', key('deadlines'), now() + left, tenant .. '/' .. id)
  end
  set_worker(worker, 'busy', cjson.encode({tenant, id}), token)
  return view(job) -- with the computed fields, so that the trainer need not read the record again
end

-- begun tenant id token fingerprint facts : the hardware and libraries on which the job is computed
-- -> ok (first row that is computed with this fingerprint) | differs | fenced
local function begun(_, args)
  local tenant, id, token, fingerprint, facts = unpack(args)
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  local known, exact, step = get(job, 'fingerprint', 'exact', 'checkpoint_step')
  if not known or known == '' then
    redis.call('HSET', job, 'fingerprint', fingerprint, 'facts', facts)
  elseif known ~= fingerprint then
    if exact ~= '0' then return {'differs'} end
    redis.call('HSET', job, 'fingerprint', fingerprint, 'facts', facts)
    event(job, tenant, id, EVENT.continued_elsewhere,
      cjson.encode({from = known, to = fingerprint, step = tonumber(step)}))
    go_on_elsewhere(job, tenant, id, tonumber(step), 'continued by a worker with another fingerprint')
  end
  return {'ok', tonumber((get(job, 'bits_from')) or 0)}
end

-- renew tenant id token lease_ms -> ok request | fenced
local function renew(_, args)
  local tenant, id, token, lease_ms = unpack(args)
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  redis.call('ZADD', key('leases'), now() + tonumber(lease_ms), tenant .. '/' .. id)
  return {'ok', requested_action(job, tenant, id)}
end

-- wanted tenant id token -> ok request | fenced : like renew, but the lease stays as it is
local function wanted(_, args)
  local tenant, id, token = unpack(args)
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  return {'ok', requested_action(job, tenant, id)}
end

-- finish tenant id token rows digest result artifacts (completed | early_stopped)
-- -> ok | already | gap rows | fenced
local function finish(_, args)
  local tenant, id, token, rows, digest, result, artifacts, ending = unpack(args)
  local job = key('job', tenant, id)
  if not holds(job, token) then
    return {ended_by(job, token) and 'already' or 'fenced'}
  end
  local stored = tonumber((get(job, 'rows')))
  if stored ~= tonumber(rows) then return {'gap', stored} end
  move(job, tenant, id, STATE.running, STATE.succeeded, EVENT.succeeded,
    cjson.encode({rows = stored, ended = ending}),
    'digest', digest, 'result', result, 'artifacts', artifacts, 'ending', ending)
  tally('ended:' .. STATE.succeeded)
  note_duration(job, stored)
  return {'ok'}
end

-- fail tenant id token reason detail -> ok | already | fenced
local function fail(_, args)
  local tenant, id, token, reason, detail = unpack(args)
  local job = key('job', tenant, id)
  if not holds(job, token) then
    return {ended_by(job, token) and 'already' or 'fenced'}
  end
  fail_for(job, tenant, id, reason, detail)
  return {'ok'}
end

-- release tenant id token why (left | crashed | fault)
-- -> the state afterwards (device to wake)... | already (device to wake)... | fenced
local function release(_, args)
  local tenant, id, token, why, cause = unpack(args)
  local job = key('job', tenant, id)
  if not holds(job, token) then
    if not ended_by(job, token) then return {'fenced'} end
    -- The worker that released the job may have died before it woke another worker.
    local waits = get(job, 'state') == STATE.queued
    return {'already', unpack(waits and wakeups(job) or {})}
  end
  if cause == 'fault' then note_fault(job, why) end
  take_back(job, tenant, id, why, cause == 'crashed', cause == 'fault')
  local state = get(job, 'state')
  if state == STATE.queued then return {state, unpack(wakeups(job))} end
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
