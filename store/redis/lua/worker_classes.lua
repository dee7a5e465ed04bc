-- Workers by class: workers with the same device and fingerprint may take the same jobs. There are few
-- classes, so whether a job has a worker, which doorbell to ring for it, and its position in the queue
-- are computed from classes, without reading every worker's record.
--
-- A class has a sorted set for each state of a worker: idle, busy, or unwell (the worker's machine cannot
-- train). A worker is in one of these sets; its score is the time at which it counts as gone.

local WORKER_STATES = {'idle', 'busy', 'unwell'}
local ADOPT_MS = 5000

local function class_name(device, fingerprint)
  return device .. '/' .. (fingerprint or '')
end

local function leave_class(worker, class)
  for _, state in ipairs(WORKER_STATES) do
    redis.call('ZREM', key('class', state, class), worker)
  end
end

-- Puts a worker into the set that matches the class and state in its record.
local function classify(worker, gone_at)
  local record = key('worker', worker)
  local device, fingerprint, state, unwell, before =
    get(record, 'device', 'fingerprint', 'state', 'unwell', 'class')
  if not device then return end
  local class = class_name(device, fingerprint)
  if before and before ~= class then leave_class(worker, before) end
  if unwell and unwell ~= '' then state = 'unwell' end
  for _, other in ipairs(WORKER_STATES) do
    if other ~= state then redis.call('ZREM', key('class', other, class), worker) end
  end
  redis.call('ZADD', key('class', state, class), gone_at, worker)
  redis.call('SADD', key('classes'), class)
  if before ~= class then redis.call('HSET', record, 'class', class) end
end

-- Sets a worker's state (idle or busy) and its job.
local function set_worker(worker, state, job, token)
  redis.call('HSET', key('worker', worker), 'state', state, 'job', job, 'token', token)
  local gone_at = redis.call('ZSCORE', key('workers'), worker)
  if gone_at then classify(worker, gone_at) end
end

-- The number of live workers in a class that are in this state.
local function some(state, class)
  return redis.call('ZCOUNT', key('class', state, class), '(' .. string.format('%.0f', now()), '+inf')
end

-- Calls fn(device, fingerprint, class) for each class whose workers may take the jobs in lane *where*
-- and that has a live worker in one of *states*.
local function each_class(where, states, fn)
  for _, class in ipairs(redis.call('SMEMBERS', key('classes'))) do
    local device, fingerprint = string.match(class, '^([^/]*)/(.*)$')
    if where == 'auto' or where == device or fingerprint ~= '' and where == '@' .. fingerprint then
      for _, state in ipairs(states) do
        if some(state, class) > 0 then
          fn(device, fingerprint, class)
          break
        end
      end
    end
  end
end

-- Removes workers whose heartbeats have stopped, and classes without workers.
local function forget_silent_workers()
  local silent = redis.call('ZRANGE', key('workers'), '-inf', now(), 'BYSCORE')
  for _, worker in ipairs(silent) do
    redis.call('DEL', key('worker', worker))
    redis.call('ZREM', key('workers'), worker)
  end
  for _, class in ipairs(redis.call('SMEMBERS', key('classes'))) do
    local left = 0
    for _, state in ipairs(WORKER_STATES) do
      local name = key('class', state, class)
      redis.call('ZREMRANGEBYSCORE', name, '-inf', now())
      left = left + redis.call('ZCARD', name)
    end
    if left == 0 then redis.call('SREM', key('classes'), class) end
  end
end

-- Workers of release 0.1.0 call its own library, which knows no classes: every few seconds they are put
-- into classes here.
local function adopt_workers()
  if not redis.call('SET', key('adopted'), now(), 'NX', 'PX', ADOPT_MS) then return end
  local workers = redis.call('ZRANGE', key('workers'), 0, -1, 'WITHSCORES')
  for i = 1, #workers, 2 do
    isolated('worker', workers[i], function()
      local record = key('worker', workers[i])
      local class, adopted = get(record, 'class', 'adopted')
      if not class or adopted then
        redis.call('HSET', record, 'adopted', 1)
        classify(workers[i], workers[i + 1])
        redis.call('ZADD', key('libraries'), now(), '@LEGACY@') -- the library that this worker calls
      end
    end)
  end
end
