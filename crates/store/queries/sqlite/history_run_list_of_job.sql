-- As history_run_list, of the one job ?1: an archive has it in an index, in the order of recording.
SELECT id, job, trigger, revision, key, nominal, first_due, finished, verdict, reason, fence, retries, losses, params,
    queue, priority, attempts_earlier, number, node, started, ended, outcome, exit_code, signal, cpu_ms,
    memory_bytes_max, start_delay_us, exit_reason
FROM history_run_SEGMENT
WHERE job = ?1 AND (?2 IS NULL OR nominal >= ?2) AND (?3 IS NULL OR nominal < ?3)
    AND (?4 IS NULL OR verdict IN (SELECT value FROM json_each(?4)))
ORDER BY rowid DESC LIMIT ?5
