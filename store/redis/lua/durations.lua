-- How long finished jobs took: the latest of each kind, on each class of workers.

local MAX_DURATIONS = 20 -- finished jobs of a kind whose durations are kept

-- Notes how long a finished job took, for estimates of jobs like it. A job that was interrupted is left
-- out: some of its steps were made twice.
local function note_duration(job, rows)
  local plan, fingerprint, attempt, trained = get(job, 'plan', 'fingerprint', 'attempt', 'trained')
  if not plan or not fingerprint or attempt ~= '1' or rows == 0 then return end
  local like = cjson.decode(plan)[4] -- version, dataset, memory_bytes, like, groups
  if type(like) ~= 'string' then return end -- the plan has the form of another release
  local name = key('durations', like, fingerprint)
  redis.call('LPUSH', name, string.format('%s %d', trained, rows))
  redis.call('LTRIM', name, 0, MAX_DURATIONS - 1)
  redis.call('PEXPIRE', name, FORGET_MS)
end

-- durations device like -> {device, fingerprint, number of live workers, duration...}... : how long finished jobs
-- with this likeness took on each class of live workers that may take a job for *device*
local function durations(_, args)
  local device, like = unpack(args)
  local found = {}
  each_class(device, WORKER_STATES, function(where, fingerprint, class)
    if fingerprint == '' then return end
    local workers = 0
    for _, state in ipairs(WORKER_STATES) do workers = workers + some(state, class) end
    local took = redis.call('LRANGE', key('durations', like, fingerprint), 0, -1)
    table.insert(found, {where, fingerprint, workers, unpack(took)})
  end)
  return found
end

register('durations', durations, {'no-writes'})
