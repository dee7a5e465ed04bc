-- What the reaper does, in one call a second of each process that runs its round.

local NEWER = 100 -- jobs of a newer release, at most, that are passed over in one round
local AGAIN_MS = 60000 -- after which what could not be taken back is tried again
local LONE_WORKERS = 10 -- workers without a fingerprint that are looked at in one round

-- The device of an idle worker that has never heard the doorbell, or nil: a worker says what its bits
-- depend on when it first does.
local function never_rung(class, device)
  local idle = redis.call('ZRANGE', key('class', 'idle', class), 0, LONE_WORKERS - 1)
  for _, worker in ipairs(idle) do
    local since = get(key('worker', worker), 'since')
    if since and tonumber(since) <= now() - RING_AFTER_MS then return device end
  end
end

-- The device of a class of idle workers beside which a job has waited for so long that its ring must
-- have been lost, or nil. Another worker may have heard it.
local function unheard(device, fingerprint, class)
  if fingerprint == '' then return never_rung(class, device) end
  local best = best_pending(device, fingerprint)
  if not best then return nil end
  local queued, not_before = get(key('job', best.tenant, best.id), 'queued', 'not_before')
  local due = math.max(tonumber(queued) + RING_AFTER_MS, tonumber(not_before or 0))
  if due <= now() then return device end
end

-- Whether a device's doorbell may be rung again; at most once in a while.
local function may_ring(device)
  local rung = redis.call('GET', key('rung', device))
  if rung and tonumber(rung) > now() - RING_AFTER_MS then return false end
  redis.call('SET', key('rung', device), now())
  return true
end

-- Devices whose doorbell must be rung again.
local function unheard_doorbells()
  local found = {}
  for _, class in ipairs(redis.call('SMEMBERS', key('classes'))) do
    local device, fingerprint = string.match(class, '^([^/]*)/(.*)$')
    if some('idle', class) > 0 then
      isolated('class', class, function()
        if unheard(device, fingerprint, class) and may_ring(device) then
          table.insert(found, device)
        end
      end)
    end
  end
  return found
end

-- Takes a running job back, however its record looks; returns whether it was one.
local function taken_back(kind, leases, member, why, crashed)
  local tenant, id = string.match(member, '^(.-)/(.*)$')
  local job = key('job', tenant or '', id or '')
  local done = false
  if is_newer(job) then return false, job, tenant, id end
  local ok = isolated(kind, member, function()
    local state = get(job, 'state')
    if state == STATE.running then
      take_back(job, tenant, id, why, crashed)
      done = true
    else
      redis.call('ZREM', key(leases), member)
    end
  end)
  -- Tried again later: the others come first.
  if not ok then redis.call('ZADD', key(leases), 'XX', now() + AGAIN_MS, member) end
  return done, job, tenant, id
end

-- Takes back what trains on after its time was over: its worker did not hear of it.
local function end_overtime(limit, overtime)
  local late = redis.call('ZRANGE', key('deadlines'), '-inf', now() - overtime, 'BYSCORE',
    'LIMIT', 0, limit + NEWER)
  local ended = {}
  for _, member in ipairs(late) do
    if #ended == limit then break end
    if taken_back('deadline', 'deadlines', member, 'its time was over', false) then
      table.insert(ended, member)
    end
  end
  return ended
end

-- Takes back what lost its lease; returns the jobs, and the devices to ring for them.
local function end_leases(limit)
  local over = redis.call('ZRANGE', key('leases'), '-inf', now(), 'BYSCORE',
    'LIMIT', 0, limit + NEWER)
  local lost, ring, seen = {}, {}, {}
  for _, member in ipairs(over) do
    if #lost == limit then break end
    local done, job = taken_back('lease', 'leases', member, 'the worker went away', true)
    if done then table.insert(lost, member) end
    if done and get(job, 'state') == STATE.queued then
      for _, device in ipairs(wakeups(job)) do
        if not seen[device] then table.insert(ring, device) end
        seen[device] = true
      end
    end
  end
  return lost, ring
end

-- reap limit lease_ms overtime_ms -> {tenant/id of each job whose lease was over...},
-- {device to wake...}, {tenant/id of each job that ran on after its time was over...}
local function reap(_, args)
  local limit, lease_ms, overtime_ms = unpack(args)
  use_library()
  adopt_workers()
  forget_silent_workers()
  redis.call('ZREMRANGEBYSCORE', key('fingerprints'), '-inf', now() - FORGET_MS)
  local over, ring, late = {}, {}, {}
  -- A server that was away could not be told that workers live: they get a lease to say so.
  local uptime = string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)')
  if tonumber(uptime) * 1000 >= tonumber(lease_ms) then over, ring = end_leases(tonumber(limit)) end
  if tonumber(uptime) * 1000 >= tonumber(overtime_ms) then
    late = end_overtime(tonumber(limit), overtime_ms)
  end
  for _, device in ipairs(unheard_doorbells()) do table.insert(ring, device) end
  return {over, ring, late}
end

register('reap', reap)
