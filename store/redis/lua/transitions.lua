-- Moves jobs from one state to another: how an attempt ends, and what it may do until then.

-- Moves a job from the set of one state to that of another; *from* is nil for a new job.
local function index(tenant, id, from, to)
  if from then redis.call('ZREM', key('jobs_in_state', tenant, from), id) end
  redis.call('ZADD', key('jobs_in_state', tenant, to), 0, id)
end

local function free_worker(job)
  local worker = get(job, 'worker')
  if worker and redis.call('EXISTS', key('worker', worker)) == 1 then
    set_worker(worker, 'idle', '', '')
  end
end

-- Moves a job from one state to another and adds an entry to its history: *kind*, with *data* as JSON.
-- Further arguments are names and values of fields to set in the record.
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
    -- No rows of this fingerprint are stored, so any worker may start or continue the job.
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

-- The paths of the files that a job may still need: its checkpoints, the best state, and the state
-- that was best when each checkpoint was written.
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

-- Whether the attempt with this token is running the job, so that its writes are accepted.
local function holds(job, token)
  local state, current = get(job, 'state', 'token')
  return state == STATE.running and token ~= '' and current == token
end

-- Whether the attempt with this token was the last one and is over: its call may be a repetition.
local function ended_by(job, token)
  local last = get(job, 'last_token')
  return token ~= '' and last == token
end

-- Whether a running job has reached its time limit.
local function is_over(tenant, id)
  local deadline = redis.call('ZSCORE', key('deadlines'), tenant .. '/' .. id)
  return deadline and tonumber(deadline) <= now()
end

-- The action requested for a running job: the client's request, or timeout at the job's time limit.
local function requested_action(job, tenant, id)
  local request = get(job, 'request')
  if request == '' and is_over(tenant, id) then return 'timeout' end
  return request
end

local function fail_for(job, tenant, id, reason, detail)
  move(job, tenant, id, STATE.running, STATE.failed, EVENT.failed,
    cjson.encode({reason = reason, detail = detail}), 'reason', reason, 'detail', detail)
  tally('ended:' .. reason)
end

local function time_out(job, tenant, id)
  local limit, step = get(job, 'time_limit', 'checkpoint_step')
  local detail = string.format('the job has been trained for its time_limit_s of %.14g s; '
    .. 'its last checkpoint is from step %s', tonumber(limit) / 1000, step)
  fail_for(job, tenant, id, REASON.timeout, detail)
end
