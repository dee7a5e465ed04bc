-- Isolation: a damaged member of a set must not keep a function from handling the other members.
--
-- A member that cannot be handled is set aside: a field in the hash `set_aside`, named after the kind of
-- set and the member, records since when handling the member has failed, how often, and why.

local SET_ASIDE_AT_MOST = 1000

local function set_aside(kind, member, why)
  local name = kind .. ' ' .. member
  if redis.call('HLEN', key('set_aside')) >= SET_ASIDE_AT_MOST
      and redis.call('HEXISTS', key('set_aside'), name) == 0 then
    return
  end
  local found = redis.call('HGET', key('set_aside'), name)
  local known = found and cjson.decode(found) or {since = string.format('%.0f', now()), tries = 0}
  known.tries, known.why = known.tries + 1, why
  redis.call('HSET', key('set_aside'), name, cjson.encode(known))
end

-- Removes a member from those set aside, since it was handled or does not exist any more.
local function put_back(kind, member)
  redis.call('HDEL', key('set_aside'), kind .. ' ' .. member)
end

-- Calls work() for a member. Returns whether work() raised no error; if it did, sets the member aside.
local function isolated(kind, member, work)
  local ok, why = pcall(work)
  if ok then
    put_back(kind, member)
  else
    set_aside(kind, member, type(why) == 'table' and why.err or tostring(why))
  end
  return ok
end

-- set_aside kind member why : the caller could not handle a member
local function set_aside_by_caller(_, args)
  local kind, member, why = unpack(args)
  set_aside(kind, member, why)
  return 'ok'
end

-- put_back kind member : the caller has handled a member
local function put_back_by_caller(_, args)
  local kind, member = unpack(args)
  put_back(kind, member)
  return 'ok'
end

-- set_aside_members -> {'kind member', JSON...}
local function set_aside_members()
  return redis.call('HGETALL', key('set_aside'))
end

register('set_aside', set_aside_by_caller, {'allow-oom'})
register('put_back', put_back_by_caller, {'allow-oom'})
register('set_aside_members', set_aside_members, {'no-writes'})
