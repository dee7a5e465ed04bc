-- A history that grows for as long as its job runs: its older entries are moved to files, named in the
-- field `history` of the record in their order, of which `history_moved` says how many they are. The
-- list of events continues with the entry after them.

-- long_histories limit pause_ms -> {tenant/id of a job with a long history...}; each is given to
-- no other call for so long
local function long_histories(_, args)
  local limit, pause_ms = unpack(args)
  return take_due(key('long_histories'), limit, pause_ms)
end

-- Forgets evaluations whose entries were moved: one that comes again is not a new entry.
local function forget_evaluations(job, tenant, id, steps)
  local upto = tonumber(get(job, 'evaluated_upto') or -1)
  for _, step in ipairs(steps) do
    redis.call('HDEL', key('evaluations', tenant, id), step)
    upto = math.max(upto, tonumber(step))
  end
  if upto >= 0 then redis.call('HSET', job, 'evaluated_upto', string.format('%.0f', upto)) end
end

-- history_moved tenant id moved count files step...: entries [moved, moved + count) lie in files now, the
-- evaluations of these steps among them -> ok | already | missing | differs
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
    redis.call('ZADD', key('long_histories'), 'XX', now(), member) -- and on
  else
    redis.call('ZREM', key('long_histories'), member)
  end
  return 'ok'
end

register('long_histories', long_histories, {'allow-oom'})
register('history_moved', history_moved, {'allow-oom'})
