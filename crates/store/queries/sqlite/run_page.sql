-- Unfinished runs by id, a page at a time.
SELECT id, job, trigger, revision, key, nominal, first_due, state, hold, due, owner, leased_at, started, stop, fence,
    retries, losses, params, queue, priority, attempts
FROM run WHERE id > ?1 ORDER BY id LIMIT ?2
