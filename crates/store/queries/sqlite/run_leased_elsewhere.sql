-- Asked at a start and by the reaper: the table from end to end, because an index would cost every lease two writes.
SELECT id, job, trigger, revision, key, nominal, first_due, state, hold, due, owner, leased_at, started, stop, fence,
    retries, losses, params, queue, priority, attempts
FROM run WHERE state = 2 AND owner <> ?1
