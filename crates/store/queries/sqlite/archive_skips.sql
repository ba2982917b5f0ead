-- Copies the rows in (?1, ?2] with their numbers.
INSERT INTO history_skip_SEGMENT (rowid, job, trigger, revision, first, step, count, last, disposition, reason, at)
SELECT rowid, job, trigger, revision, first, step, count, last, disposition, reason, at
FROM store.history_skip_SEGMENT WHERE rowid > ?1 AND rowid <= ?2 ORDER BY rowid
