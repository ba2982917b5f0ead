SELECT id, job, trigger, revision, key, nominal, first_due, finished, verdict, reason, fence, retries, losses, params,
    queue, priority, attempts_earlier, number, node, started, ended, outcome, exit_code, signal, cpu_ms,
    memory_bytes_max, start_delay_us, exit_reason
FROM history_run_SEGMENT WHERE id = ?1 LIMIT 1
