-- What the reaper does, once a second, in every API process.

-- The device of an idle worker beside which a job has waited for so long that its ring must have
-- been lost, or nil.
local function unheard(worker)
  local state, device, fingerprint, since = unpack(
    redis.call('HMGET', key('worker', worker), 'state', 'device', 'fingerprint', 'since'))
  if state ~= 'idle' then return nil end
  -- A worker says what its bits depend on when it first hears the bell; another may have heard it.
  if fingerprint and fingerprint ~= '' then
    local best = best_pending(device, fingerprint)
    if not best then return nil end
    since = get(key('job', best.tenant, best.id), 'queued')
  end
  if tonumber(since) > now() - RING_AFTER_MS then return nil end
  local rung = redis.call('GET', key('rung', device))
  if rung and tonumber(rung) > now() - RING_AFTER_MS then return nil end
  redis.call('SET', key('rung', device), now())
  return device
end

-- Takes back what trains on after its time was over: its worker did not hear of it.
local function end_overtime(limit, overtime)
  local late = redis.call('ZRANGE', key('deadlines'), '-inf', now() - overtime, 'BYSCORE',
    'LIMIT', 0, limit)
  for _, member in ipairs(late) do
    local tenant, id = string.match(member, '^(.-)/(.*)$')
    take_back(key('job', tenant, id), tenant, id, 'its time was over', false)
  end
  return late
end

-- reap limit lease_ms overtime_ms -> {tenant/id of each job whose lease was over...},
-- {device to ring...}, {tenant/id of each job that went on after its time was over...}
local function reap(_, args)
  for _, worker in ipairs(redis.call('ZRANGE', key('workers'), '-inf', now(), 'BYSCORE')) do
    redis.call('DEL', key('worker', worker))
    redis.call('ZREM', key('workers'), worker)
  end
  redis.call('ZREMRANGEBYSCORE', key('fingerprints'), '-inf', now() - FORGET_MS)
  local over, ring, late = {}, {}, {}
  -- A server that was away could not be told that workers live: they get a lease to say so.
  local uptime = string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)')
  if tonumber(uptime) * 1000 >= tonumber(args[2]) then
    over = redis.call('ZRANGE', key('leases'), '-inf', now(), 'BYSCORE', 'LIMIT', 0, args[1])
  end
  if tonumber(uptime) * 1000 >= tonumber(args[3]) then late = end_overtime(args[1], args[3]) end
  for _, member in ipairs(over) do
    local tenant, id = string.match(member, '^(.-)/(.*)$')
    local job = key('job', tenant, id)
    take_back(job, tenant, id, 'the worker went away', true)
    if get(job, 'state') == 'queued' then
      for _, device in ipairs(bells(job)) do table.insert(ring, device) end
    end
  end
  for _, worker in ipairs(redis.call('ZRANGE', key('workers'), 0, -1)) do
    local device = unheard(worker)
    if device then table.insert(ring, device) end
  end
  return {over, ring, late}
end

redis.register_function('optserve_reap', reap)
