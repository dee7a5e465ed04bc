-- Labels: which jobs carry one.
--
-- The jobs that carry a label are a sorted set, like all jobs and those in a state. A job is in its
-- sets from its submission to its removal, and its record then has the field `labels`. The release
-- before 0.2 has neither. So the store remembers up to which number of jobs all are indexed: while
-- that is not the number of all, that release has submitted one, and `index_labels` looks for it.

local INDEXED_AT_ONCE = 500 -- jobs that one call of `index_labels` goes through
local DECODED = 2 ^ 20 -- bytes of specs that it decodes, or one spec

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
-- All jobs are gone through, some at a time, by any caller. Those submitted meanwhile by the
-- release before are in the count that makes it begin again.
local function index_labels(_, _)
  if not unindexed() then return 0 end
  local walk = key('indexing')
  local upto, tenant, after = get(walk, 'upto', 'tenant', 'after')
  if not upto then
    upto, tenant, after = redis.call('GET', key('number')), tenant_after(''), ''
  end
  local scanned, decoded = 0, 0
  while tenant and scanned < INDEXED_AT_ONCE and decoded < DECODED do
    local ids = redis.call('ZRANGEBYLEX', key('jobs', tenant), after == '' and '-' or '(' .. after,
      '+', 'LIMIT', 0, INDEXED_AT_ONCE - scanned)
    for _, id in ipairs(ids) do
      if decoded >= DECODED then break end
      isolated('label', tenant .. '/' .. id, function()
        decoded = decoded + index_one(tenant, id)
      end)
      scanned, after = scanned + 1, id
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

register('index_labels', index_labels)
