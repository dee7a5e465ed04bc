-- Long histories: while a job runs, older entries of its history are moved to files. The field `history`
-- of the record lists these files in order, and `history_moved` is the number of entries in them. The
-- list of events in Redis continues with the next entry.

-- long_histories limit pause_ms -> {tenant/id of a job with a long history...}; no other call returns
-- the same job for pause_ms
local function long_histories(_, args)
  local limit, pause_ms = unpack(args)
  return take_due(key('long_histories'), limit, pause_ms)
end

-- Removes the evaluations at *steps*, whose entries were moved to files. `evaluated_upto` remembers that
-- they exist, so that an evaluation that is sent again does not become a second entry.
local function forget_evaluations(job, tenant, id, steps)
  local upto = tonumber(get(job, 'evaluated_upto') or -1)
  for _, step in ipairs(steps) do
    redis.call('HDEL', key('evaluations', tenant, id), step)
    upto = math.max(upto, tonumber(step))
  end
  if upto >= 0 then redis.call('HSET', job, 'evaluated_upto', string.format('%.0f', upto)) end
end

-- history_moved tenant id moved count files step... : entries [moved, moved + count) are in files now,
-- among them the evaluations at these steps -> ok | already | missing | differs
local function history_moved(_, args)
  local tenant, id, moved, count, files = unpack(args)
  local steps = {unpack(args, 6)}
  moved, count = tonumber(moved), tonumber(count)
  local job, member = key('job', tenant, id), tenant .. '/' .. id
  local rev, before, known, archive = get(job, 'rev', 'history_moved', 'history', 'archive')
  if not rev then
    redis.call('ZREM', key('long_histories'), member)
    return 'missing'
  end
  if known == files then return 'already' end
  if archive or tonumber(before or 0) ~= moved then return 'differs' end
  local events = key('events', tenant, id)
  if redis.call('LLEN', events) < count then return 'differs' end
  redis.call('LTRIM', events, count, -1)
  redis.call('HSET', job, 'history', files, 'history_moved', moved + count)
  forget_evaluations(job, tenant, id, steps)
  if redis.call('LLEN', events) > HISTORY_ENTRIES then
    redis.call('ZADD', key('long_histories'), 'XX', now(), member) -- there is more to move
  else
    redis.call('ZREM', key('long_histories'), member)
  end
  return 'ok'
end

register('long_histories', long_histories, {'allow-oom'})
register('history_moved', history_moved, {'allow-oom'})
