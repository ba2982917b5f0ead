-- The claim's candidates: walks the claim's order and passes by those that are not due yet.
SELECT id, job, trigger, revision, key, nominal, first_due, state, hold, due, owner, leased_at, started, stop, fence,
    retries, losses, params, queue, priority, attempts
FROM run INDEXED BY run_rank WHERE state = 1 AND due <= ?1 ORDER BY rank, id LIMIT ?2
