-- What is shown of a job: its record, and what follows from it and the time.

-- For how many milliseconds workers have had a job.
local function trained_ms(job)
  local before, state, claimed = get(job, 'trained', 'state', 'claimed')
  return tonumber(before or 0) + (state == 'running' and now() - tonumber(claimed) or 0)
end

-- The record, what the job waits for, and, if that is a fingerprint, for how many milliseconds no
-- worker has had it; unless it is for a list, also the place in the queue.
local function view(job, listed)
  local fields = redis.call('HGETALL', job)
  if #fields == 0 then return fields end
  table.insert(fields, 'trained_ms')
  table.insert(fields, tostring(trained_ms(job)))
  local lacking = lacks(job)
  table.insert(fields, 'waiting_for')
  table.insert(fields, lacking)
  if lacking == 'fingerprint' then
    local fingerprint, queued = get(job, 'fingerprint', 'queued')
    local seen = redis.call('ZSCORE', key('fingerprints'), fingerprint) or queued
    table.insert(fields, 'gone_ms')
    table.insert(fields, tostring(now() - tonumber(seen)))
  end
  if not listed and get(job, 'state') == 'queued' then
    table.insert(fields, 'place')
    table.insert(fields, tostring(place(job)))
  end
  return fields
end

-- look tenant id -> the record, or nothing if there is no such job
local function look(_, args)
  return view(key('job', args[1], args[2]))
end

-- list tenant id... -> the records without their places; nothing in place of a job that is not there
local function list(_, args)
  local found = {}
  for i = 2, #args do found[i - 1] = view(key('job', args[1], args[i]), true) end
  return found
end

redis.register_function{
  function_name = 'optserve_look', callback = look, flags = {'no-writes'}}
redis.register_function{
  function_name = 'optserve_list', callback = list, flags = {'no-writes'}}
