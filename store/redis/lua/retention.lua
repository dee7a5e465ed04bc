-- Retention: removes jobs, moves data to files, and tells which files a job needs.

-- Removes an ended job from Redis, with everything that belongs to it. Its files are deleted later:
-- until then the job stays in the set `removed`.
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
  redis.call('SREM', key('unmeasured'), member)
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
  local limit, max_age_ms, max_jobs, max_bytes = unpack(args)
  local age, jobs, bytes = tonumber(max_age_ms), tonumber(max_jobs), tonumber(max_bytes)
  local most, found, skipped = tonumber(limit), {}, 0
  while #found < most and skipped < most do
    local oldest = redis.call('ZRANGE', key('ended'), skipped, skipped, 'WITHSCORES')
    if not oldest[1] then break end
    local old = age and tonumber(oldest[2]) <= now() - age
    local many = jobs and redis.call('ZCARD', key('ended')) > jobs
    local large = bytes and tonumber(redis.call('HGET', key('bytes'), 'all') or 0) > bytes
    if not (old or many or large) then break end
    local tenant, id = string.match(oldest[1], '^(.-)/(.*)$')
    if is_newer(key('job', tenant, id)) then
      skipped = skipped + 1 -- a newer release removes the job, with everything that belongs to it
    elseif isolated('ended', oldest[1], function() remove(tenant, id) end) then
      table.insert(found, oldest[1])
    else
      redis.call('ZREM', key('ended'), oldest[1]) -- so that the next job's turn comes
    end
  end
  return found
end

-- Returns at most *limit* members of a sorted set that are due. Each is deferred by *pause_ms*: for so
-- long no other process gets it, and after that another process may try.
local function take_due(set, limit, pause_ms)
  local due = redis.call('ZRANGE', set, '-inf', now(), 'BYSCORE', 'LIMIT', 0, limit)
  for _, member in ipairs(due) do
    redis.call('ZADD', set, now() + tonumber(pause_ms), member)
  end
  return due
end

-- unarchived limit pause_ms -> {tenant/id of a job that has ended, and whose rows are in Redis...}
local function unarchived(_, args)
  local limit, pause_ms = unpack(args)
  return take_due(key('unarchived'), limit, pause_ms)
end

-- Removes the rows and marks of a job, which are now in a file, and its evaluations, which are in its
-- history. The entries of the history are removed too if *files* names a file with them.
-- archived tenant id rows entries files -> ok | already | missing | differs
local function archived(_, args)
  local tenant, id, rows, entries, files = unpack(args)
  local job, member = key('job', tenant, id), tenant .. '/' .. id
  local state, stored_rows, stored_entries, known = get(job, 'state', 'rows', 'rev', 'archive')
  if not state then return 'missing' end
  if known then return known == files and 'ok' or 'already' end
  if not redis.call('ZSCORE', key('ended'), member)
    or rows ~= stored_rows or entries ~= stored_entries then
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
  redis.call('SADD', key('unmeasured'), member) -- it has more files now
  return 'ok'
end

-- unmeasured limit -> {tenant/id of a job that has ended, and whose files were not measured...}
local function unmeasured(_, args)
  local limit = unpack(args)
  return redis.call('SRANDMEMBER', key('unmeasured'), limit)
end

-- measured tenant id bytes -> ok | missing
local function measured(_, args)
  local tenant, id, size = unpack(args)
  local member = tenant .. '/' .. id
  if not redis.call('ZSCORE', key('ended'), member) then return 'missing' end
  local before = tonumber(redis.call('HGET', key('bytes'), member) or 0)
  redis.call('SREM', key('unmeasured'), member)
  redis.call('HSET', key('bytes'), member, size)
  redis.call('HINCRBY', key('bytes'), 'all', tonumber(size) - before)
  return 'ok'
end

-- removed limit pause_ms -> {tenant/id of a job that was removed, and whose files may exist...}
local function removed(_, args)
  local limit, pause_ms = unpack(args)
  return take_due(key('removed'), limit, pause_ms)
end

-- files_deleted tenant id : the files of a removed job are deleted
local function files_deleted(_, args)
  local tenant, id = unpack(args)
  redis.call('ZREM', key('removed'), tenant .. '/' .. id)
  return 'ok'
end

-- owned tenant id -> none | {number of the running attempt or 0, start of its token, path...}
local function owned(_, args)
  local tenant, id = unpack(args)
  local job = key('job', tenant, id)
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
  return {state == STATE.running and tonumber(attempt) or 0, string.sub(token, 1, 8), unpack(found)}
end

-- store_id word -> {name of this store, 1 if its storage was marked with that name, else 0}. The store
-- is named after *word* if it has no name yet.
local function store_id(_, args)
  local word = unpack(args)
  redis.call('SETNX', key('store_id'), word)
  return {redis.call('GET', key('store_id')), redis.call('EXISTS', key('storage_named'))}
end

-- storage_named : a file in the storage has this store's name
local function storage_named()
  redis.call('SET', key('storage_named'), 1)
  return 'ok'
end

-- Functions that free memory must run even if memory is full.
register('expire', expire, {'allow-oom'})
register('unarchived', unarchived, {'allow-oom'})
register('archived', archived, {'allow-oom'})
register('unmeasured', unmeasured, {'no-writes'})
register('measured', measured, {'allow-oom'})
register('removed', removed, {'allow-oom'})
register('files_deleted', files_deleted, {'allow-oom'})
register('owned', owned, {'no-writes'})
register('store_id', store_id)
register('storage_named', storage_named)
