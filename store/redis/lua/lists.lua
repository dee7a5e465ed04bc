-- Lists of jobs: what a row shows, and which jobs carry a label.
--
-- The jobs that carry a label are a sorted set, like all jobs and those in a state. A job is in its
-- sets from its submission to its removal, and its record then has the field `labels`. The release
-- before 0.2 has neither. So the store remembers up to which number of jobs all are indexed: while
-- that is not the number of all, that release has submitted one, and `index_labels` looks for it.

local LOOKED_AT = 500 -- jobs that one call of `index_labels` looks at
local DECODED = 2 ^ 20 -- bytes of specs that it decodes, or one spec
local COMPARED = 2000 -- jobs that one call of `find` compares

-- Calls fn(set) for the set of each label that a job carries.
local function each_label(job, tenant, fn)
  local labels = get(job, 'labels')
  for name, value in pairs(labels and cjson.decode(labels) or {}) do
    fn(key('labelled', tenant, name .. '=' .. value))
  end
end

local function add_to_labels(job, tenant, id)
  each_label(job, tenant, function(set) redis.call('ZADD', set, 0, id) end)
end

local function remove_from_labels(job, tenant, id)
  each_label(job, tenant, function(set) redis.call('ZREM', set, id) end)
end

-- Remembers that the job with a new *number* is indexed, if all before it are, or will be once the
-- walk of `index_labels` is over.
local function indexed_next(number)
  if tonumber(redis.call('GET', key('indexed')) or 0) == number - 1 then
    redis.call('SET', key('indexed'), number)
  elseif tonumber(get(key('indexing'), 'upto') or 0) == number - 1 then
    redis.call('HSET', key('indexing'), 'upto', number)
  end
end

local function unindexed()
  return tonumber(redis.call('GET', key('number')) or 0)
    ~= tonumber(redis.call('GET', key('indexed')) or 0)
end

-- Gives a record of the release before what this one writes at submission.
-- -> bytes that were decoded
local function index_one(tenant, id)
  local job = key('job', tenant, id)
  local labels, spec = get(job, 'labels', 'spec')
  if labels or not spec then return 0 end
  local decoded = cjson.decode(spec)
  local limit = decoded.time_limit_s
  redis.call('HSET', job, 'name', decoded.name, 'labels', cjson.encode(decoded.labels),
    'time_limit_s', type(limit) == 'number' and string.format('%.17g', limit) or '')
  add_to_labels(job, tenant, id)
  return #spec
end

-- The tenant that follows one in their order; the first for ''.
local function tenant_after(tenant)
  local all = redis.call('SMEMBERS', key('tenants'))
  table.sort(all)
  for _, name in ipairs(all) do
    if name > tenant then return name end
  end
end

-- index_labels -> 0 once every job is indexed; 1 while there may be more to do
-- All jobs are gone through, some at a time, by whoever calls. Those submitted meanwhile by the
-- release before are in the count that makes it begin again.
local function index_labels(_, _)
  if not unindexed() then return 0 end
  local walk = key('indexing')
  local upto, tenant, after = get(walk, 'upto', 'tenant', 'after')
  if not upto then
    upto, tenant, after = redis.call('GET', key('number')), tenant_after(''), ''
  end
  local looked_at, decoded = 0, 0
  while tenant and looked_at < LOOKED_AT and decoded < DECODED do
    local ids = redis.call('ZRANGEBYLEX', key('jobs', tenant), after == '' and '-' or '(' .. after,
      '+', 'LIMIT', 0, LOOKED_AT - looked_at)
    for _, id in ipairs(ids) do
      if decoded >= DECODED then break end
      isolated('label', tenant .. '/' .. id, function()
        decoded = decoded + index_one(tenant, id)
      end)
      looked_at, after = looked_at + 1, id
    end
    if #ids == 0 then tenant, after = tenant_after(tenant), '' end
  end
  if tenant then
    redis.call('HSET', walk, 'upto', upto, 'tenant', tenant, 'after', after)
    return 1
  end
  redis.call('DEL', walk)
  redis.call('SET', key('indexed'), upto)
  return unindexed() and 1 or 0
end

-- find tenant state after limit label... (a state may be empty; a label is name=value)
-- -> {1 if all jobs were looked at, the last that was}, {id...}: the newest first
local function find(_, args)
  local tenant, state, after, limit = args[1], args[2], args[3], tonumber(args[4])
  local sets = {state == '' and key('jobs', tenant) or key('jobs_in_state', tenant, state)}
  for i = 5, #args do table.insert(sets, key('labelled', tenant, args[i])) end
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
    if #found == limit then return {{0, last}, found} end
  end
  return {{#ids < COMPARED and 1 or 0, last}, found}
end

-- The fields with *names* of a record and what is shown beside it, without the names: that of a list of
-- a hundred takes the server as long as the rest of it. *at* tells where each name stands.
local function summary(name, names, at, known)
  local values = redis.call('HMGET', name, unpack(names))
  local job = setmetatable({}, {__index = function(_, field) return at[field] and values[at[field]] end})
  if not job.id then return {} end
  local trained, lacking, fault_ms, gone_ms = shown_beside(job, known)
  local num = #names
  values[num + 1], values[num + 2] = tostring(trained), lacking
  values[num + 3] = fault_ms and tostring(fault_ms) or false
  values[num + 4] = gone_ms and tostring(gone_ms) or false
  return values
end

-- summaries tenant num field... id... -> of each job those fields of its record, and trained_ms,
-- waiting_for, fault_ms and gone_ms; nothing in place of a job that is not there, and of one that
-- cannot be read its id and why
local function summaries(_, args)
  local tenant, num, found, known, at = args[1], tonumber(args[2]), {}, {}, {}
  local names = {unpack(args, 3, 2 + num)}
  for i, name in ipairs(names) do at[name] = i end
  for i = 3 + num, #args do
    local ok, values = pcall(summary, key('job', tenant, args[i]), names, at, known)
    if not ok then
      values = {args[i], type(values) == 'table' and values.err or tostring(values)}
    end
    table.insert(found, values)
  end
  return found
end

register('index_labels', index_labels)
register('find', find, {'no-writes'})
register('summaries', summaries, {'no-writes'})
