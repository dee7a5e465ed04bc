-- What is shown of a job: its record, and what follows from it and the time.

-- For how many milliseconds workers have had a job.
local function trained_for(before, state, claimed)
  return tonumber(before or 0) + (state == 'running' and now() - tonumber(claimed) or 0)
end

local function trained_ms(job)
  return trained_for(get(job, 'trained', 'state', 'claimed'))
end

-- Those fields of a record that have one of the names and are there.
local function some_of(job, names)
  local found = {}
  for i, value in ipairs(redis.call('HMGET', job, unpack(names))) do
    if value then
      table.insert(found, names[i])
      table.insert(found, value)
    end
  end
  return found
end

-- The record, what the job waits for, and, if that is a fingerprint, for how many milliseconds no
-- worker has had it; unless it is for a list, also the place in the queue. *known* holds what is
-- known of lanes already. Of the record only the fields with *names*, if there are any.
local function view(name, listed, known, names)
  local fields = names and some_of(name, names) or redis.call('HGETALL', name)
  local job, at = {}, #fields
  if at == 0 then return fields end
  for i = 1, at, 2 do job[fields[i]] = fields[i + 1] end
  require_known(job.format)
  local function add(field, value)
    fields[at + 1], fields[at + 2] = field, tostring(value)
    at = at + 2
  end
  local lacking = lacks(job, known or {})
  add('trained_ms', trained_for(job.trained, job.state, job.claimed))
  add('waiting_for', lacking)
  if job.fault_since then add('fault_ms', now() - tonumber(job.fault_since)) end
  if lacking == 'fingerprint' then
    local seen = redis.call('ZSCORE', key('fingerprints'), job.fingerprint) or job.queued
    add('gone_ms', now() - tonumber(seen))
  end
  local before = not listed and job.state == 'queued' and place(name)
  if before then add('place', before) end
  return fields
end

-- look tenant id -> the record, or nothing if there is no such job
local function look(_, args)
  return view(key('job', args[1], args[2]))
end

register('look', look, {'no-writes'})
