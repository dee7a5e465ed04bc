-- What is shown of a job: its record, and what follows from it and the time.

-- For how many milliseconds workers have had a job.
local function trained_for(before, state, claimed)
  return tonumber(before or 0) + (state == 'running' and now() - tonumber(claimed) or 0)
end

local function trained_ms(job)
  return trained_for(get(job, 'trained', 'state', 'claimed'))
end

-- What follows from the fields of a record and the time: for how many milliseconds workers have had the
-- job, what it waits for, for how many machines have not been fit to train it (or nil), and, if it waits
-- for a fingerprint, for how many no worker has had that. *known* holds what is known of lanes already.
local function shown_beside(job, known)
  require_known(job.format)
  local lacking, fault_ms, gone_ms = lacks(job, known), nil, nil
  if job.fault_since then fault_ms = now() - tonumber(job.fault_since) end
  if lacking == 'fingerprint' then
    local seen = redis.call('ZSCORE', key('fingerprints'), job.fingerprint) or job.queued
    gone_ms = now() - tonumber(seen)
  end
  return trained_for(job.trained, job.state, job.claimed), lacking, fault_ms, gone_ms
end

-- The record, what is shown beside it, and the place in the queue.
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
  local trained, lacking, fault_ms, gone_ms = shown_beside(job, {})
  add('trained_ms', trained)
  add('waiting_for', lacking)
  add('fault_ms', fault_ms)
  add('gone_ms', gone_ms)
  add('place', job.state == 'queued' and place(name))
  return fields
end

-- look tenant id -> the record, or nothing if there is no such job
local function look(_, args)
  return view(key('job', args[1], args[2]))
end

register('look', look, {'no-writes'})
