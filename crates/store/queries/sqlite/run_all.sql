-- Every unfinished run: the table from end to end.
SELECT id, job, trigger, revision, key, nominal, first_due, state, hold, due, owner, leased_at, started, stop, fence,
    retries, losses, params, queue, priority, attempts
FROM run ORDER BY id DESC
