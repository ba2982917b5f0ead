-- A conflict is with an unfinished run of the same key, or of the same id; the caller looks which.
INSERT INTO run (id, job, trigger, revision, key, nominal, first_due, state, hold, due, rank, owner, leased_at,
    started, stop, fence, retries, losses, params, queue, priority, attempts)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)
ON CONFLICT DO NOTHING
