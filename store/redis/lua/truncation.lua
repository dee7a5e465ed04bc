-- Truncation of a series: removes rows that might differ from the rows computed next in their place.

-- Removes the marks for rows after the first *rows* rows.
local function truncate_marks(tenant, id, rows)
  local name = key('marks', tenant, id)
  local marks = redis.call('GET', name) or ''
  local left, upper = 0, #marks / 8
  while left < upper do -- rows only grow, so the first mark to go is found by bisection
    local middle = math.floor((left + upper) / 2)
    if struct.unpack('<I4', marks, 8 * middle + 1) <= rows then left = middle + 1
    else upper = middle end
  end
  if left == 0 then redis.call('DEL', name)
  elseif 8 * left < #marks then redis.call('SET', name, string.sub(marks, 1, 8 * left)) end
end

-- Removes the rows from *from* on, and everything derived from them. The history gets an entry with the
-- number of removed rows and the reason *why*; the field `cuts` tells clients which rows were removed.
local function truncate(job, tenant, id, from, why)
  local rows, columns, off_plan, truncations = get(job, 'rows', 'columns', 'off_plan', 'cuts')
  rows = tonumber(rows)
  local evaluations = key('evaluations', tenant, id)
  for _, step in ipairs(redis.call('HKEYS', evaluations)) do
    if tonumber(step) >= from then redis.call('HDEL', evaluations, step) end
  end
  local upto = get(job, 'evaluated_upto')
  if upto and tonumber(upto) >= from then redis.call('HSET', job, 'evaluated_upto', from - 1) end
  if off_plan and tonumber(off_plan) >= from then redis.call('HDEL', job, 'off_plan') end
  if rows <= from then return end
  local width = 8 * (columns and #cjson.decode(columns) or 2)
  local first = math.floor(from / CHUNK_ROWS)
  local left = (from - first * CHUNK_ROWS) * width
  for chunk = first, math.floor((rows - 1) / CHUNK_ROWS) do
    local name = key('rows', tenant, id, chunk)
    if chunk == first and left > 0 then
      redis.call('SET', name, redis.call('GETRANGE', name, 0, left - 1))
    else
      redis.call('DEL', name)
    end
  end
  truncate_marks(tenant, id, from)
  truncations = cjson.decode(truncations or '[]')
  table.insert(truncations, from)
  redis.call('HSET', job, 'rows', from, 'replay_end', from, 'cuts', cjson.encode(truncations))
  event(job, tenant, id, EVENT.rows_cut,
    cjson.encode({from = from, count = rows - from, why = why}))
end

-- Lets the job continue from *step* with another fingerprint: rows after *step* are truncated, the best
-- state is again the one recorded with that checkpoint, and `bits_from` marks where the change is.
local function go_on_elsewhere(job, tenant, id, step, why)
  truncate(job, tenant, id, step, why)
  redis.call('HSET', job, 'bits_from', step)
  redis.call('HDEL', job, 'best')
  for _, checkpoint in ipairs(cjson.decode(get(job, 'checkpoints'))) do
    if checkpoint.step == step and checkpoint.best then
      redis.call('HSET', job, 'best', cjson.encode(checkpoint.best))
    end
  end
end
