-- The index of jobs by label.
--
-- For each label, a sorted set holds the jobs that carry it. A job is in the sets of its labels from
-- its submission to its removal, and its record has the field `labels`. Release 0.1.0 writes neither
-- the sets nor the field. So the key `indexed` holds the number of the job up to which all jobs are
-- indexed. If this is less than the number of all jobs, 0.1.0 has submitted a job, and `index_labels`
-- finds and indexes it.

local INDEXED_AT_ONCE = 500 -- maximum number of jobs that one call of `index_labels` reads
local DECODED = 2 ^ 20 -- bytes of specs after which a call of `index_labels` stops decoding more

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

-- Records that the new job with this *number* is indexed, if all jobs before it are indexed, or will be
-- at the end of the walk that `index_labels` makes.
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

-- Adds to a record of release 0.1.0 the fields that this release writes at submission, and indexes the
-- job. Returns the number of bytes that were decoded.
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

-- The tenant after *tenant* in lexical order; the first tenant for ''.
local function tenant_after(tenant)
  local all = redis.call('SMEMBERS', key('tenants'))
  table.sort(all)
  for _, name in ipairs(all) do
    if name > tenant then return name end
  end
end

-- index_labels -> 0 once every job is indexed; 1 while there may be more to do
-- Each call continues one walk over all jobs, whichever process makes the call. If 0.1.0 submits jobs
-- during a walk, the number of all jobs exceeds `indexed` at its end, and another walk begins.
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
