-- Copies the rows in (?1, ?2] with their numbers, which are the order in which they were recorded.
INSERT INTO history_run_SEGMENT (rowid, id, job, trigger, revision, key, nominal, first_due, finished, verdict, reason, fence, retries, losses, params,
    queue, priority, attempts_earlier, number, node, started, ended, outcome, exit_code, signal, cpu_ms,
    memory_bytes_max, start_delay_us, exit_reason)
SELECT rowid, id, job, trigger, revision, key, nominal, first_due, finished, verdict, reason, fence, retries, losses, params,
    queue, priority, attempts_earlier, number, node, started, ended, outcome, exit_code, signal, cpu_ms,
    memory_bytes_max, start_delay_us, exit_reason
FROM store.history_run_SEGMENT WHERE rowid > ?1 AND rowid <= ?2 ORDER BY rowid
