-- The reaper's call, which every process that runs its round makes once a second.

local NEWER = 100 -- maximum number of a newer release's jobs that are skipped in one call
local AGAIN_MS = 60000 -- time after which a job that could not be taken back is tried again
local LONE_WORKERS = 10 -- maximum number of workers without a fingerprint that are checked in one call

-- Returns *device* if a worker in the class has been idle for RING_AFTER_MS, else nil. The class is
-- that of the workers without a fingerprint: a worker reports its fingerprint after its first doorbell
-- message, so these workers seem to have got none.
local function never_rung(class, device)
  local idle = redis.call('ZRANGE', key('class', 'idle', class), 0, LONE_WORKERS - 1)
  for _, worker in ipairs(idle) do
    local since = get(key('worker', worker), 'since')
    if since and tonumber(since) <= now() - RING_AFTER_MS then return device end
  end
end

-- Returns *device* if a job that idle workers of the class may take has waited for so long that the
-- doorbell message for it must have been lost, else nil.
local function unheard(device, fingerprint, class)
  if fingerprint == '' then return never_rung(class, device) end
  local best = best_pending(device, fingerprint)
  if not best then return nil end
  local queued, not_before = get(key('job', best.tenant, best.id), 'queued', 'not_before')
  local due = math.max(tonumber(queued) + RING_AFTER_MS, tonumber(not_before or 0))
  if due <= now() then return device end
end

-- Whether a device's doorbell may be rung again: at most once per RING_AFTER_MS.
local function may_ring(device)
  local rung = redis.call('GET', key('rung', device))
  if rung and tonumber(rung) > now() - RING_AFTER_MS then return false end
  redis.call('SET', key('rung', device), now())
  return true
end

-- The devices whose doorbell must be rung again.
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

-- Takes a job back if it is running; sets it aside if its record is damaged. Returns whether the job was
-- taken back, and its key, tenant and id.
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
  -- Tried again later, so that other jobs come first.
  if not ok then redis.call('ZADD', key(leases), 'XX', now() + AGAIN_MS, member) end
  return done, job, tenant, id
end

-- Takes back jobs that are still being trained past their time limit: their workers did not react.
local function end_overtime(limit, overtime)
  local late = redis.call('ZRANGE', key('deadlines'), '-inf', now() - overtime, 'BYSCORE',
    'LIMIT', 0, limit + NEWER)
  local ended = {}
  for _, member in ipairs(late) do
    if #ended == limit then break end
    if taken_back('deadline', 'deadlines', member, 'its time limit was exceeded', false) then
      table.insert(ended, member)
    end
  end
  return ended
end

-- Takes back jobs whose lease has expired; returns the jobs, and the devices to ring for.
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

-- reap limit lease_ms overtime_ms -> {tenant/id of each job whose lease had expired...},
-- {device to wake...}, {tenant/id of each job that was trained past its time limit...}
local function reap(_, args)
  local limit, lease_ms, overtime_ms = unpack(args)
  use_library()
  adopt_workers()
  forget_silent_workers()
  redis.call('ZREMRANGEBYSCORE', key('fingerprints'), '-inf', now() - FORGET_MS)
  local over, ring, late = {}, {}, {}
  -- While the server was down, workers could not renew leases: after its start they get time to do so.
  local uptime = string.match(redis.call('INFO', 'server'), 'uptime_in_seconds:(%d+)')
  if tonumber(uptime) * 1000 >= tonumber(lease_ms) then over, ring = end_leases(tonumber(limit)) end
  if tonumber(uptime) * 1000 >= tonumber(overtime_ms) then
    late = end_overtime(tonumber(limit), overtime_ms)
  end
  for _, device in ipairs(unheard_doorbells()) do table.insert(ring, device) end
  return {over, ring, late}
end

register('reap', reap)
