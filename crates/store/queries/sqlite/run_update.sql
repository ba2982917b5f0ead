-- What of a run may change. The fence is compared once more, although the decision saw it in this transaction.
UPDATE run SET first_due = ?2, state = ?3, hold = ?4, due = ?5, rank = ?6, owner = ?7, leased_at = ?8, started = ?9,
    stop = ?10, fence = ?11, retries = ?12, losses = ?13, params = ?14, queue = ?15, priority = ?16, attempts = ?17
WHERE id = ?1 AND fence <= ?11
