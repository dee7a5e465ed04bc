-- Views: a job's record, with fields that are computed from the record and the time; and lists of jobs.

local COMPARED = 2000 -- maximum number of jobs that one call of `find` compares

-- The number of milliseconds for which workers have had a job.
local function trained_for(before, state, claimed)
  return tonumber(before or 0) + (state == STATE.running and now() - tonumber(claimed) or 0)
end

local function trained_ms(job)
  return trained_for(get(job, 'trained', 'state', 'claimed'))
end

-- The fields that are computed from a record and the time: the milliseconds for which workers have had
-- the job; what the job waits for; the milliseconds since a machine first failed to train it, or nil;
-- and, if it waits for a fingerprint, the milliseconds since a worker last had that fingerprint. *known*
-- caches what each lane lacks.
local function derived_fields(job, known)
  require_known(job.format)
  local lacking, fault_ms, gone_ms = lacks(job, known), nil, nil
  if job.fault_since then fault_ms = now() - tonumber(job.fault_since) end
  if lacking == 'fingerprint' then
    local seen = redis.call('ZSCORE', key('fingerprints'), job.fingerprint) or job.queued
    gone_ms = now() - tonumber(seen)
  end
  return trained_for(job.trained, job.state, job.claimed), lacking, fault_ms, gone_ms
end

-- The record with its computed fields and the position in the queue, as a flat list.
local function view(name)
  local fields = redis.call('HGETALL', name)
  local job, at = {}, #fields
  if at == 0 then return fields end
  for i = 1, at, 2 do job[fields[i]] = fields[i + 1] end
  local function add(field, value)
    if not value then return end
    fields[at + 1], fields[at + 2] = field, tostring(value)
    at = at + 2
  end
  local trained, lacking, fault_ms, gone_ms = derived_fields(job, {})
  add('trained_ms', trained)
  add('waiting_for', lacking)
  add('fault_ms', fault_ms)
  add('gone_ms', gone_ms)
  add('queue_position', job.state == STATE.queued and queue_position(name))
  return fields
end

-- look tenant id -> the record with its computed fields; empty if there is no such job
local function look(_, args)
  local tenant, id = unpack(args)
  return view(key('job', tenant, id))
end

-- find tenant state after limit label... (state may be empty; a label is name=value)
-- -> {1 if all jobs were compared, else 0; id of the last one compared}, {id..., newest first}
local function find(_, args)
  local tenant, state, after, limit = unpack(args)
  local sets = {state == '' and key('jobs', tenant) or key('jobs_in_state', tenant, state)}
  for _, label in ipairs({unpack(args, 5)}) do table.insert(sets, key('labelled', tenant, label)) end
  -- The members of the smallest set are looked up in the other sets, so a rare label is found fast.
  local smallest, size = 1, math.huge
  for i, set in ipairs(sets) do
    local members = redis.call('ZCARD', set)
    if members < size then smallest, size = i, members end
  end
  local driver = table.remove(sets, smallest)
  local ids = redis.call('ZREVRANGEBYLEX', driver, after == '' and '+' or '(' .. after, '-',
    'LIMIT', 0, COMPARED)
  local found, last = {}, after
  for _, id in ipairs(ids) do
    local everywhere = true
    for _, set in ipairs(sets) do
      if not redis.call('ZSCORE', set, id) then
        everywhere = false
        break
      end
    end
    last = id
    if everywhere then table.insert(found, id) end
    if #found == tonumber(limit) then return {{0, last}, found} end
  end
  return {{#ids < COMPARED and 1 or 0, last}, found}
end

-- The values of the fields *names* of a record, then those of the computed fields. The list has no names:
-- they would double the server's time for a hundred jobs. *at* maps each name to its position.
local function summary(name, names, at, known)
  local values = redis.call('HMGET', name, unpack(names))
  local job = setmetatable({}, {__index = function(_, field) return at[field] and values[at[field]] end})
  if not job.id then return {} end
  local trained, lacking, fault_ms, gone_ms = derived_fields(job, known)
  local num = #names
  values[num + 1], values[num + 2] = tostring(trained), lacking
  values[num + 3] = fault_ms and tostring(fault_ms) or false
  values[num + 4] = gone_ms and tostring(gone_ms) or false
  return values
end

-- summaries tenant num field... id... -> for each job the values of these fields and of trained_ms,
-- waiting_for, fault_ms and gone_ms; an empty list for a job that does not exist; {id, reason} for a
-- job whose record cannot be read
local function summaries(_, args)
  local tenant, num = args[1], tonumber(args[2])
  local names, ids = {unpack(args, 3, 2 + num)}, {unpack(args, 3 + num)}
  local found, known, at = {}, {}, {}
  for i, name in ipairs(names) do at[name] = i end
  for _, id in ipairs(ids) do
    local ok, values = pcall(summary, key('job', tenant, id), names, at, known)
    if not ok then values = {id, type(values) == 'table' and values.err or tostring(values)} end
    table.insert(found, values)
  end
  return found
end

register('look', look, {'no-writes'})
register('find', find, {'no-writes'})
register('summaries', summaries, {'no-writes'})
