-- The queue: the lane in which a job waits, the workers to wake for it, and its position.

-- The name of the lane in which a job waits. It is the lane of the job's device or, if the run is exact
-- and has rows, that of its fingerprint: workers with the same fingerprint give the same bits.
local function lane_of(device, fingerprint, exact)
  if exact ~= '0' and fingerprint and fingerprint ~= '' then return '@' .. fingerprint end
  return device
end

local function lane(job)
  return lane_of(get(job, 'device', 'fingerprint', 'exact'))
end

-- Whether a lane is for a fingerprint, and not for a device.
local function at_fingerprint(name)
  return string.sub(name, 1, 1) == '@'
end

local function enqueue(job, tenant, id)
  local priority, number = get(job, 'priority', 'number')
  local score = (100 - tonumber(priority)) * PRIORITY_STEP + tonumber(number)
  local where, since = lane(job), now()
  redis.call('HSET', job, 'queued', since)
  redis.call('ZADD', key('pending', where, tenant), score, id)
  redis.call('SADD', key('waiting', where), tenant)
  redis.call('SADD', key('lanes'), where)
  redis.call('ZADD', key('queued_since'), since, tenant .. '/' .. id)
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

-- The devices whose workers should be woken for a job: the devices of idle workers that may take the
-- job. A busy worker claims the next job by itself when it is done.
local function wakeups(job)
  local found, seen = {}, {}
  each_class(lane(job), {'idle'}, function(device)
    if not seen[device] then
      seen[device] = true
      table.insert(found, device)
    end
  end)
  return found
end

-- What the jobs in a lane wait for: '' if a live worker may take them, 'worker' if no worker for their
-- device is alive, 'fingerprint' if no worker with their fingerprint is alive, 'machine' if all live
-- workers that could take them are unwell.
local function lane_lacks(name)
  local found = at_fingerprint(name) and 'fingerprint' or 'worker'
  each_class(name, {'unwell'}, function() found = 'machine' end)
  each_class(name, {'idle', 'busy'}, function() found = '' end)
  return found
end

-- What a job waits for, given the fields of its record: '' if the job is not queued or only waits its
-- turn, 'machine' if it waits after a machine fault, else what its lane lacks. *known* caches what each
-- lane lacks.
local function lacks(job, known)
  if job.state ~= STATE.queued then return '' end
  local where = lane_of(job.device, job.fingerprint, job.exact)
  if not known[where] then known[where] = lane_lacks(where) end
  if known[where] == '' and tonumber(job.not_before or 0) > now() then return 'machine' end
  return known[where]
end

-- The lanes from which the workers that may take the jobs in a lane also take jobs.
local function rival_lanes(own)
  local found, lanes = {}, {}
  local function add(name)
    if not found[name] then
      found[name] = true
      table.insert(lanes, name)
    end
  end
  add(own)
  add('auto')
  each_class(own, {'idle', 'busy'}, function(device, fingerprint)
    add(device)
    add('@' .. fingerprint)
  end)
  return lanes
end

-- For each tenant, the number of its queued jobs with a higher priority than a job in the lane *own* with
-- this score (higher), with the same priority (same), and with the same priority but submitted earlier
-- (older).
local function rivals_of(own, score)
  local first = math.floor(score / PRIORITY_STEP) * PRIORITY_STEP
  local bound = function(number) return string.format('(%.0f', number) end
  local rivals = {}
  for _, where in ipairs(rival_lanes(own)) do
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

-- The number of jobs that would be claimed before a queued job, if no job ended or was submitted
-- meanwhile; nil if the job is missing from its lane.
local function queue_position(job)
  local tenant, id = get(job, 'tenant', 'id')
  local own = lane(job)
  local score = tonumber(redis.call('ZSCORE', key('pending', own, tenant), id) or nil)
  if not score then return nil end
  local rivals = rivals_of(own, score)
  for name, rival in pairs(rivals) do
    rival.share = redis.call('ZCARD', key('jobs_in_state', name, STATE.running)) + rival.higher
  end
  -- The job's turn comes when its tenant has *share* running jobs. Until then tenants with fewer
  -- running jobs come first; of a tenant with as many, its next job does, if it is older.
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

local SCANNED = 100 -- maximum number of jobs at the head of a lane that are skipped as not runnable now

-- Removes from the queue a member that can never be claimed, since its record is not that of a queued
-- job.
local function drop_pending(where, tenant, id, why)
  set_aside('pending', tenant .. '/' .. id, why)
  redis.call('ZREM', key('pending', where, tenant), id)
  redis.call('ZREM', key('queued_since'), tenant .. '/' .. id)
  if redis.call('EXISTS', key('pending', where, tenant)) == 1 then return end
  redis.call('SREM', key('waiting', where), tenant)
end

-- Returns the reason why a job can never be claimed. If there is none, returns nil, the format of the
-- job's record, and the time before which the job may not be claimed.
local function unclaimable(job)
  local state, format, not_before, queued = get(job, 'state', 'format', 'not_before', 'queued')
  if not state then return 'there is no such job' end
  if state ~= STATE.queued then return 'it is ' .. state end
  local tenant, rows, checkpoint = get(job, 'tenant', 'rows', 'checkpoint_step')
  if not (tenant and tonumber(queued) and tonumber(rows) and tonumber(checkpoint)) then
    return 'its record lacks fields'
  end
  return nil, tonumber(format or 1), tonumber(not_before or 0)
end

-- Returns the id and score of a tenant's first job in a lane that can be run now, or nil. Jobs that
-- wait after a machine fault, and those that a newer release has written, are skipped.
local function first_runnable(where, tenant)
  local pending, skipped = key('pending', where, tenant), 0
  while skipped < SCANNED do
    local head = redis.call('ZRANGE', pending, skipped, skipped, 'WITHSCORES')
    if not head[1] then return nil end
    local job = key('job', tenant, head[1])
    local ok, why, format, not_before = pcall(unclaimable, job)
    if not ok then why = type(why) == 'table' and why.err or tostring(why) end
    if why then
      drop_pending(where, tenant, head[1], why)
    elseif format > FORMAT or not_before > now() then
      skipped = skipped + 1
    else
      return head[1], tonumber(head[2])
    end
  end
end

-- The job that a worker should claim next: the job with the highest priority; among several, that of
-- the tenant with the fewest running jobs; among several of those, the oldest.
local function best_pending(device, fingerprint)
  local best
  for _, where in ipairs({device, 'auto', '@' .. fingerprint}) do
    for _, tenant in ipairs(redis.call('SMEMBERS', key('waiting', where))) do
      local id, score = first_runnable(where, tenant)
      if id then
        local found = {tenant = tenant, id = id,
          rank = math.floor(score / PRIORITY_STEP),
          share = redis.call('ZCARD', key('jobs_in_state', tenant, STATE.running)),
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
