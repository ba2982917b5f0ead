-- The latest first, in the order in which their ends were recorded. ?2 since, ?3 until, ?4 verdicts as a JSON array,
-- each NULL for any; ?5 how many. ?1 is not used.
SELECT id, job, trigger, revision, key, nominal, first_due, finished, verdict, reason, fence, retries, losses, params,
    queue, priority, attempts_earlier, number, node, started, ended, outcome, exit_code, signal, cpu_ms,
    memory_bytes_max, start_delay_us, exit_reason
FROM history_run_SEGMENT
WHERE ?1 IS NULL AND (?2 IS NULL OR nominal >= ?2) AND (?3 IS NULL OR nominal < ?3)
    AND (?4 IS NULL OR verdict IN (SELECT value FROM json_each(?4)))
ORDER BY rowid DESC LIMIT ?5
