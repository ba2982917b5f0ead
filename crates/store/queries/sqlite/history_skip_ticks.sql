-- The skips that touch [?2, ?3).
SELECT job, trigger, revision, first, step, count, disposition, reason, at
FROM history_skip_SEGMENT WHERE job = ?1 AND last >= ?2 AND first < ?3
