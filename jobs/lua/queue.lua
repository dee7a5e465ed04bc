-- Waiting for a worker: where a job stands, whose bell is rung for it, how many come before it.

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
