-- The unfinished runs of a job, by the unique index (job, key).
SELECT id, job, trigger, revision, key, nominal, first_due, state, hold, due, owner, leased_at, started, stop, fence,
    retries, losses, params, queue, priority, attempts
FROM run WHERE job = ?1 ORDER BY id
