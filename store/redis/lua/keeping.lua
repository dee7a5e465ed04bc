-- How long jobs that have ended are kept, and which files belong to whom.

-- Removes all that the store has of a job that has ended, in one go. Its files follow: until they are
-- gone their folder is remembered.
local function remove(tenant, id)
  local job, member = key('job', tenant, id), tenant .. '/' .. id
  local state, rows, idem = get(job, 'state', 'rows', 'idempotency')
  remove_from_labels(job, tenant, id)
  for chunk = 0, math.floor((tonumber(rows or 0) - 1) / CHUNK_ROWS) do
    redis.call('UNLINK', key('rows', tenant, id, chunk))
  end
  redis.call('UNLINK', key('marks', tenant, id), key('events', tenant, id),
    key('evaluations', tenant, id), job)
  if idem and idem ~= '' and redis.call('HGET', key('idempotency', tenant, idem), 'id') == id then
    redis.call('DEL', key('idempotency', tenant, idem))
  end
  redis.call('ZREM', key('jobs', tenant), id)
  for _, each in ipairs(state and {state} or STATES) do
    redis.call('ZREM', key('jobs_in_state', tenant, each), id)
  end
  redis.call('ZREM', key('ended'), member)
  redis.call('SREM', key('unweighed'), member)
  redis.call('ZREM', key('unarchived'), member)
  redis.call('ZREM', key('long_histories'), member)
  local bytes = redis.call('HGET', key('bytes'), member)
  if bytes then
    redis.call('HINCRBY', key('bytes'), 'all', -tonumber(bytes))
    redis.call('HDEL', key('bytes'), member)
  end
  redis.call('ZADD', key('removed'), now(), member)
end

-- expire limit max_age_ms max_jobs max_bytes (each may be empty: no limit)
-- -> {tenant/id of each job that was removed...}
local function expire(_, args)
  local limit = tonumber(args[1])
  local age, jobs, bytes = tonumber(args[2]), tonumber(args[3]), tonumber(args[4])
  local removed, passed_over = {}, 0
  while #removed < limit and passed_over < limit do
    local oldest = redis.call('ZRANGE', key('ended'), passed_over, passed_over, 'WITHSCORES')
    if not oldest[1] then break end
    local old = age and tonumber(oldest[2]) <= now() - age
    local many = jobs and redis.call('ZCARD', key('ended')) > jobs
    local large = bytes and tonumber(redis.call('HGET', key('bytes'), 'all') or 0) > bytes
    if not (old or many or large) then break end
    local tenant, id = string.match(oldest[1], '^(.-)/(.*)$')
    if is_newer(key('job', tenant, id)) then
      passed_over = passed_over + 1 -- a newer release removes it, with all that it has
    elseif isolated('ended', oldest[1], function() remove(tenant, id) end) then
      table.insert(removed, oldest[1])
    else
      redis.call('ZREM', key('ended'), oldest[1]) -- the others come next
    end
  end
  return removed
end

-- Whoever is given a job has it for so long; then another one may try.
-- unarchived limit pause_ms -> {tenant/id of a job that has ended, and whose rows are here...}
local function unarchived(_, args)
  local due = redis.call('ZRANGE', key('unarchived'), '-inf', now(), 'BYSCORE',
    'LIMIT', 0, args[1])
  for _, member in ipairs(due) do
    redis.call('ZADD', key('unarchived'), 'XX', now() + tonumber(args[2]), member)
  end
  return due
end

-- Rows, times and evaluations go: the first two are in a file now, and the last in the history, of
-- which what was left here goes too if it is in one.
-- archived tenant id rows entries files -> ok | already | missing | differs
local function archived(_, args)
  local tenant, id, files = args[1], args[2], args[5]
  local job, member = key('job', tenant, id), tenant .. '/' .. id
  local state, rows, entries, known = get(job, 'state', 'rows', 'rev', 'archive')
  if not state then return 'missing' end
  if known then return known == files and 'ok' or 'already' end
  if not redis.call('ZSCORE', key('ended'), member) or rows ~= args[3] or entries ~= args[4] then
    return 'differs'
  end
  local moved = cjson.decode(files)
  if tonumber(rows) > 0 and not moved.rows then return 'differs' end
  redis.call('HSET', job, 'archive', files)
  for chunk = 0, math.floor((tonumber(rows) - 1) / CHUNK_ROWS) do
    redis.call('UNLINK', key('rows', tenant, id, chunk))
  end
  redis.call('UNLINK', key('marks', tenant, id), key('evaluations', tenant, id))
  if moved.events then redis.call('UNLINK', key('events', tenant, id)) end
  redis.call('ZREM', key('unarchived'), member)
  redis.call('ZREM', key('long_histories'), member)
  redis.call('SADD', key('unweighed'), member) -- it has more files now
  return 'ok'
end

-- unweighed limit -> {tenant/id of a job that has ended, and whose bytes are not known...}
local function unweighed(_, args)
  return redis.call('SRANDMEMBER', key('unweighed'), args[1])
end

-- weighed tenant id bytes -> ok | missing
local function weighed(_, args)
  local member = args[1] .. '/' .. args[2]
  if not redis.call('ZSCORE', key('ended'), member) then return 'missing' end
  local before = tonumber(redis.call('HGET', key('bytes'), member) or 0)
  redis.call('SREM', key('unweighed'), member)
  redis.call('HSET', key('bytes'), member, args[3])
  redis.call('HINCRBY', key('bytes'), 'all', tonumber(args[3]) - before)
  return 'ok'
end

-- removed limit pause_ms -> {tenant/id of a job that is gone and whose files may be there...}
local function removed(_, args)
  local due = redis.call('ZRANGE', key('removed'), '-inf', now(), 'BYSCORE', 'LIMIT', 0, args[1])
  for _, member in ipairs(due) do
    redis.call('ZADD', key('removed'), now() + tonumber(args[2]), member)
  end
  return due
end

-- swept tenant id : the files of a job that is gone are gone too
local function swept(_, args)
  redis.call('ZREM', key('removed'), args[1] .. '/' .. args[2])
  return 'ok'
end

-- owned tenant id -> none | {attempt that may write, or 0, the start of its token, path...}
local function owned(_, args)
  local job = key('job', args[1], args[2])
  local state, attempt, token, artifacts, parent, archive, history =
    get(job, 'state', 'attempt', 'token', 'artifacts', 'parent', 'archive', 'history')
  if not state then return 'none' end
  local found = paths(job)
  for _, artifact in pairs(cjson.decode(artifacts or '{}')) do
    table.insert(found, artifact.path)
  end
  for _, file in pairs(cjson.decode(archive or '{}')) do table.insert(found, file.path) end
  for _, file in ipairs(cjson.decode(history or '[]')) do table.insert(found, file.path) end
  if parent then table.insert(found, cjson.decode(parent).path) end
  return {state == 'running' and tonumber(attempt) or 0, string.sub(token, 1, 8), unpack(found)}
end

-- store_id word -> of this store: the word that it was first called with, and whether its storage has
-- that name
local function store_id(_, args)
  redis.call('SETNX', key('store_id'), args[1])
  return {redis.call('GET', key('store_id')), redis.call('EXISTS', key('storage_named'))}
end

-- storage_named : the storage has the name of this store, on disk
local function storage_named()
  redis.call('SET', key('storage_named'), 1)
  return 'ok'
end

-- What frees memory must not be refused for want of it.
register('expire', expire, {'allow-oom'})
register('unarchived', unarchived, {'allow-oom'})
register('archived', archived, {'allow-oom'})
register('unweighed', unweighed, {'no-writes'})
register('weighed', weighed, {'allow-oom'})
register('removed', removed, {'allow-oom'})
register('swept', swept, {'allow-oom'})
register('owned', owned, {'no-writes'})
register('store_id', store_id)
register('storage_named', storage_named)
