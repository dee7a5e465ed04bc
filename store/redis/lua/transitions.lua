-- Transitions of a job from one state to another, and from which each is allowed.

local function index(tenant, id, from, to)
  if from then redis.call('ZREM', key('jobs_in_state', tenant, from), id) end
  redis.call('ZADD', key('jobs_in_state', tenant, to), 0, id)
end

-- Forgets that a machine was not fit to train a job: it moves on, or has ended.
local function forget_fault(job)
  redis.call('HDEL', job, 'faults', 'fault', 'fault_since', 'not_before')
end

local function free_worker(job)
  local worker = get(job, 'worker')
  if worker and redis.call('EXISTS', key('worker', worker)) == 1 then
    set_worker(worker, 'idle', '', '')
  end
end

-- Moves a job from one state to another; fields are further (name, value) pairs of the record.
local function move(job, tenant, id, from, to, kind, data, ...)
  if from == STATE.queued then dequeue(job, tenant, id) end
  if from == STATE.running then redis.call('HSET', job, 'trained', trained_ms(job)) end
  redis.call('HSET', job, 'state', to, ...)
  index(tenant, id, from, to)
  if from == STATE.running then
    local token, rows, bits_from = get(job, 'token', 'rows', 'bits_from')
    redis.call('ZREM', key('leases'), tenant .. '/' .. id)
    redis.call('ZREM', key('deadlines'), tenant .. '/' .. id)
    redis.call('HSET', job, 'token', '', 'last_token', token, 'request', '')
    -- Nothing to be equal to: any worker may begin or continue it.
    if tonumber(rows) <= tonumber(bits_from or 0) then
      redis.call('HDEL', job, 'fingerprint', 'facts')
    end
    free_worker(job)
  end
  if to == STATE.queued then enqueue(job, tenant, id) end
  if FINAL[to] then
    redis.call('HSET', job, 'ended', now())
    forget_fault(job)
    redis.call('ZADD', key('ended'), now(), tenant .. '/' .. id)
    redis.call('SADD', key('unmeasured'), tenant .. '/' .. id)
    redis.call('ZADD', key('unarchived'), now(), tenant .. '/' .. id)
  end
  event(job, tenant, id, kind, data)
end

-- Where the files lie that a job may still need: those of its checkpoints, of the best one, and of
-- what was best when each of them was made.
local function paths(job)
  local found = {}
  local checkpoints, best = get(job, 'checkpoints', 'best')
  for _, checkpoint in ipairs(cjson.decode(checkpoints)) do
    table.insert(found, checkpoint.path)
    if checkpoint.best then table.insert(found, checkpoint.best.path) end
  end
  if best then table.insert(found, cjson.decode(best).path) end
  return found
end

local function holds(job, token)
  local state, current = get(job, 'state', 'token')
  return state == STATE.running and token ~= '' and current == token
end

local function ended_by(job, token)
  local last = get(job, 'last_token')
  return token ~= '' and last == token
end

-- Whether a running job has used up its time.
local function is_over(tenant, id)
  local deadline = redis.call('ZSCORE', key('deadlines'), tenant .. '/' .. id)
  return deadline and tonumber(deadline) <= now()
end

-- What a worker is to do with a job: what its client asks for, or to stop because its time is over.
local function requested_action(job, tenant, id)
  local request = get(job, 'request')
  if request == '' and is_over(tenant, id) then return 'timeout' end
  return request
end
