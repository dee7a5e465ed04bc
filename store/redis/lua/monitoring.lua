-- Figures about the whole service: its counters, and its present state.

-- monitored -> {lane, number of jobs...}, {state, number of jobs...}, {device/state, number of
-- workers...}, milliseconds that the oldest queued job has waited or nothing, milliseconds until the
-- first lease expires or nothing, {counter, value...}, {kind, number of members set aside...}
local function monitored()
  local function flat(counts)
    local found = {}
    for name, count in pairs(counts) do
      table.insert(found, name)
      table.insert(found, count)
    end
    return found
  end
  local queued, jobs, workers = {}, {}, {}
  for _, where in ipairs(redis.call('SMEMBERS', key('lanes'))) do
    local name = at_fingerprint(where) and 'fingerprint' or where
    for _, tenant in ipairs(redis.call('SMEMBERS', key('waiting', where))) do
      queued[name] = (queued[name] or 0) + redis.call('ZCARD', key('pending', where, tenant))
    end
  end
  for _, tenant in ipairs(redis.call('SMEMBERS', key('tenants'))) do
    for _, state in ipairs(STATES) do
      jobs[state] = (jobs[state] or 0) + redis.call('ZCARD', key('jobs_in_state', tenant, state))
    end
  end
  for _, class in ipairs(redis.call('SMEMBERS', key('classes'))) do
    for _, state in ipairs(WORKER_STATES) do
      local name = string.match(class, '^[^/]*') .. '/' .. state
      workers[name] = (workers[name] or 0) + some(state, class)
    end
  end
  local aside = {}
  for _, name in ipairs(redis.call('HKEYS', key('set_aside'))) do
    local kind = string.match(name, '^%S*')
    aside[kind] = (aside[kind] or 0) + 1
  end
  local oldest = redis.call('ZRANGE', key('queued_since'), 0, 0, 'WITHSCORES')[2]
  local lease = redis.call('ZRANGE', key('leases'), 0, 0, 'WITHSCORES')[2]
  return {flat(queued), flat(jobs), flat(workers), oldest and now() - oldest or false,
    lease and lease - now() or false, redis.call('HGETALL', key('counters')), flat(aside)}
end

register('monitored', monitored, {'no-writes'})
