-- Jobs that are taken back from their workers, and how often in a row these crashed.

-- Takes a running job from its worker. If its client has requested a pause, a cancel or a kill, the job
-- is paused or cancelled. If its time limit is reached, or MAX_CRASHES attempts in a row crashed without a
-- new checkpoint in between (machine faults are not counted), it fails. Otherwise it returns to the queue.
local function take_back(job, tenant, id, why, crashed, ill)
  local request, crashes, checkpoint, at_claim, attempt =
    get(job, 'request', 'crashes', 'checkpoint_step', 'claim_checkpoint', 'attempt')
  crashes = tonumber(checkpoint) > tonumber(at_claim) and 0 or tonumber(crashes)
  local data = cjson.encode({why = why, attempt = tonumber(attempt), step = tonumber(checkpoint)})
  if request == 'cancel' or request == 'kill' then
    tally('ended:' .. STATE.cancelled)
    return move(job, tenant, id, STATE.running, STATE.cancelled, EVENT.cancelled, data)
  end
  if request == 'pause' then
    tally('ended:' .. STATE.paused)
    return move(job, tenant, id, STATE.running, STATE.paused, EVENT.paused, data, 'crashes', crashes)
  end
  if is_over(tenant, id) then return time_out(job, tenant, id) end
  if crashed then crashes = crashes + 1 end
  if crashes >= MAX_CRASHES then
    return fail_for(job, tenant, id, REASON.crash_loop, why)
  end
  tally(ill and 'ended:machine_fault' or crashed and 'ended:lost' or 'ended:given_back')
  move(job, tenant, id, STATE.running, STATE.queued, EVENT.requeued, data, 'crashes', crashes)
end
