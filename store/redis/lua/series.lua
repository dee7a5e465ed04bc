-- What an attempt stores: rows, evaluations, checkpoints and notes for the history.

-- Calls fn(chunk, offset, from, to) for each chunk that contains some of the rows
-- [first, first + count): these rows begin at the byte *offset* of the chunk, and are the bytes *from*
-- to *to* of the data.
local function each_chunk(first, count, width, fn)
  local row = first
  while row < first + count do
    local chunk = math.floor(row / CHUNK_ROWS)
    local in_chunk = row - chunk * CHUNK_ROWS
    local n = math.min(CHUNK_ROWS - in_chunk, first + count - row)
    local from = (row - first) * width
    fn(chunk, in_chunk * width, from + 1, from + n * width)
    row = row + n
  end
end

-- The first of the rows [first, first + count) whose stored bytes differ from those in *data*, or nil.
-- Only the first *computed* bytes of a row are compared.
local function first_difference(tenant, id, first, count, width, computed, data)
  local found
  each_chunk(first, count, width, function(chunk, offset, from, to)
    local name = key('rows', tenant, id, chunk)
    local stored = redis.call('GETRANGE', name, offset, offset + to - from)
    local sent = string.sub(data, from, to)
    if found or stored == sent then return end
    for at = 0, #sent / width - 1 do
      local a, b = at * width + 1, at * width + computed
      if string.sub(stored, a, b) ~= string.sub(sent, a, b) then
        found = chunk * CHUNK_ROWS + offset / width + at
        return
      end
    end
  end)
  return found
end

-- Frees the spare memory that Redis reserves for a string's growth, which may be as large as the
-- string. A copy of the string has no spare memory. Unlike a SET of the content, a COPY command in the
-- log on disk, or on its way to replicas, does not contain the content.
local function trim(name)
  redis.call('COPY', name, key('trimmed'), 'REPLACE')
  redis.call('RENAME', key('trimmed'), name)
end

local function write(tenant, id, first, count, width, data)
  each_chunk(first, count, width, function(chunk, offset, from, to)
    local name = key('rows', tenant, id, chunk)
    redis.call('SETRANGE', name, offset, string.sub(data, from, to))
    trim(name)
  end)
end

local MARK_EVERY = 100 -- minimum distance of two marks in hundredths of a second
local MARK_ROWS = 4 -- minimum distance in rows: marks take at most two bytes per row, at any speed

-- Records the time at which the job has *rows* rows. The last mark is overwritten until it is far
-- enough from the mark before it, so the last mark is always for the last row.
local function mark(job, tenant, id, rows)
  local name = key('marks', tenant, id)
  local last = redis.call('GETRANGE', name, -16, -1)
  local spent = math.floor(trained_ms(job) / 10)
  local offset = redis.call('STRLEN', name)
  if offset > 0 then
    local _, last_spent = struct.unpack('<I4I4', string.sub(last, -8))
    spent = math.max(spent, last_spent) -- the server's clock may be set back
  end
  if offset > 8 then
    local before, before_spent, upto, upto_spent = struct.unpack('<I4I4I4I4', last)
    if upto - before < MARK_ROWS or upto_spent - before_spent < MARK_EVERY then
      offset = offset - 8
    end
  end
  redis.call('SETRANGE', name, offset, struct.pack('<I4I4', rows, spent))
  trim(name)
end

-- Records the number of milliseconds for which this attempt has had to pause training so far.
local function note_stall(job, ms)
  local known, before = get(job, 'held_up', 'held_up_before')
  local total = tonumber(before or 0) + ms
  if total <= tonumber(known or 0) then return end
  redis.call('HSET', job, 'held_up', total)
  tally('held_up_ms', total - tonumber(known or 0))
end

-- Columns that are only observed (the last ones) are not compared: their last value counts.
-- append tenant id token first width data lease_ms stalled_ms
-- -> ok rows request | fenced | gap rows | differs row
local function append(_, args)
  local tenant, id, token, first_row, bytes_per_row, data, lease_ms, stalled_ms = unpack(args)
  local first, width = tonumber(first_row), tonumber(bytes_per_row)
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  local rows, replay_at, replay_end, columns, faults =
    get(job, 'rows', 'replay_at', 'replay_end', 'computed', 'faults')
  local computed = math.min(width, 8 * tonumber(columns or 2))
  rows, replay_at, replay_end = tonumber(rows), tonumber(replay_at), tonumber(replay_end)
  if first > rows then return {'gap', rows} end
  local count = #data / width
  local overlap = math.min(count, rows - first)
  local differs = first_difference(tenant, id, first, overlap, width, computed, data)
  if differs then return {'differs', differs} end
  local seen = math.min(first + overlap, replay_end)
  if seen > replay_at then
    redis.call('HINCRBY', job, 'verified', seen - replay_at)
    redis.call('HSET', job, 'replay_at', seen)
  end
  if computed < width then
    write(tenant, id, first, count, width, data)
  elseif count > overlap then
    write(tenant, id, first + overlap, count - overlap, width,
      string.sub(data, overlap * width + 1))
  end
  if count > overlap then
    redis.call('HSET', job, 'rows', first + count)
    mark(job, tenant, id, first + count)
    tally('steps', count - overlap)
    if faults then forget_fault(job) end
  end
  note_stall(job, tonumber(stalled_ms))
  redis.call('ZADD', key('leases'), now() + tonumber(lease_ms), tenant .. '/' .. id)
  return {'ok', first + count, requested_action(job, tenant, id)}
end

-- evaluated tenant id token step data -> ok | fenced | differs step
local function evaluated(_, args)
  local tenant, id, token, step, data = unpack(args)
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  local known = redis.call('HGET', key('evaluations', tenant, id), step)
  if known and known ~= data then return {'differs', step} end
  if known then return {'ok'} end
  -- The history has the evaluation already, in a file, and no copy is left here to compare it with.
  if tonumber(step) <= tonumber(get(job, 'evaluated_upto') or -1) then return {'ok'} end
  redis.call('HSET', key('evaluations', tenant, id), step, data)
  event(job, tenant, id, EVENT.evaluated, data)
  return {'ok'}
end

-- checkpointed tenant id token step path sha256 digest
-- -> ok (path that is still needed)... | stale | gap rows | fenced
local function checkpointed(_, args)
  local tenant, id, token, at_step, path, sha256, digest = unpack(args)
  local job, step = key('job', tenant, id), tonumber(at_step)
  if not holds(job, token) then return {'fenced'} end
  local rows, last, known, best = get(job, 'rows', 'checkpoint_step', 'checkpoints', 'best')
  if step > tonumber(rows) then return {'gap', tonumber(rows)} end
  local checkpoints = cjson.decode(known)
  if step <= tonumber(last) then return {'stale', unpack(paths(job))} end
  table.insert(checkpoints, {step = step, path = path, sha256 = sha256,
    best = best and cjson.decode(best) or nil})
  while #checkpoints > MAX_CHECKPOINTS do table.remove(checkpoints, 1) end
  redis.call('HSET', job, 'checkpoint_step', step, 'checkpoints', cjson.encode(checkpoints))
  event(job, tenant, id, EVENT.checkpointed, cjson.encode({step = step, digest = digest}))
  return {'ok', unpack(paths(job))}
end

-- best_kept tenant id token step path sha256 metric value
-- -> ok (path that is still needed)... | gap rows | fenced
local function best_kept(_, args)
  local tenant, id, token, at_step, path, sha256, metric, value = unpack(args)
  local job, step = key('job', tenant, id), tonumber(at_step)
  if not holds(job, token) then return {'fenced'} end
  local rows = tonumber((get(job, 'rows')))
  if step > rows then return {'gap', rows} end
  -- The value stays text: cjson writes only 14 digits of a number.
  redis.call('HSET', job, 'best', cjson.encode(
    {step = step, path = path, sha256 = sha256, metric = metric, value = value}))
  return {'ok', unpack(paths(job))}
end

-- refused tenant id token path why -> ok | fenced : removes a checkpoint that cannot be used
local function refused(_, args)
  local tenant, id, token, path, why = unpack(args)
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  local good = {}
  for _, checkpoint in ipairs(cjson.decode(get(job, 'checkpoints'))) do
    if checkpoint.path ~= path then table.insert(good, checkpoint) end
  end
  local step = #good > 0 and good[#good].step or 0
  local bits_from = get(job, 'bits_from')
  redis.call('HSET', job, 'checkpoints', #good > 0 and cjson.encode(good) or '[]',
    'checkpoint_step', step, 'claim_checkpoint', step, 'replay_at', step)
  event(job, tenant, id, EVENT.checkpoint_refused, cjson.encode({why = why, step = step}))
  -- The rows in between were computed with another fingerprint, so replayed rows may not equal them.
  if step < tonumber(bits_from or 0) then
    go_on_elsewhere(job, tenant, id, step, 'a checkpoint was refused')
  end
  return {'ok'}
end

-- passed_over tenant id token path why step -> ok | fenced : the files of a checkpoint are missing; the
-- run continues from *step*. The record keeps the checkpoint: its files may come back.
local function passed_over(_, args)
  local tenant, id, token, path, why, from_step = unpack(args)
  local job, step = key('job', tenant, id), tonumber(from_step)
  if not holds(job, token) then return {'fenced'} end
  redis.call('HSET', job, 'replay_at', step)
  event(job, tenant, id, EVENT.checkpoint_passed_over,
    cjson.encode({path = path, why = why, step = step}))
  local bits_from = get(job, 'bits_from')
  if step < tonumber(bits_from or 0) then -- as in `refused`
    go_on_elsewhere(job, tenant, id, step, 'a checkpoint was missing')
  end
  return {'ok'}
end

-- noted tenant id token kind data -> ok | fenced : adds an entry to the history
local function noted(_, args)
  local tenant, id, token, kind, data = unpack(args)
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  event(job, tenant, id, kind, data)
  return {'ok'}
end

-- off_plan tenant id token step data -> ok | fenced : lr was not the planned one; recorded once
local function off_plan(_, args)
  local tenant, id, token, step, data = unpack(args)
  local job = key('job', tenant, id)
  if not holds(job, token) then return {'fenced'} end
  if redis.call('HSETNX', job, 'off_plan', step) == 1 then
    event(job, tenant, id, EVENT.lr_off_plan, data)
  end
  return {'ok'}
end

register('append', append)
register('evaluated', evaluated)
register('checkpointed', checkpointed)
register('best_kept', best_kept)
register('refused', refused)
register('passed_over', passed_over)
register('noted', noted)
register('off_plan', off_plan)
