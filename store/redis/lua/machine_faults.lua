-- Notes in the record of a job: machines could not train the job, and until when it waits after that.

local FAULT_PAUSE_MS, LONGEST_FAULT_PAUSE_MS = 1000, 60000

-- Records that a machine could not train a job, and why. After the first such fault another worker may
-- claim the job at once: usually only one machine is broken. If the next machine fails too, the cause
-- may be shared, like the storage. So the job waits after each further fault, each time twice as long,
-- for a minute at most, until an attempt stores new rows.
local function note_fault(job, fault)
  local faults = redis.call('HINCRBY', job, 'faults', 1)
  local pause = faults == 1 and 0 or math.min(FAULT_PAUSE_MS * 2 ^ (faults - 2), LONGEST_FAULT_PAUSE_MS)
  redis.call('HSETNX', job, 'fault_since', now())
  redis.call('HSET', job, 'fault', fault, 'not_before', now() + pause)
end

-- Removes the notes that machines could not train a job, since the job has new rows or has ended.
local function forget_fault(job)
  redis.call('HDEL', job, 'faults', 'fault', 'fault_since', 'not_before')
end
