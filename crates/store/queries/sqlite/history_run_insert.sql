-- Appends to the live segment, whose number takes the place of SEGMENT.
INSERT INTO history_run_SEGMENT (id, job, trigger, revision, key, nominal, first_due, finished, verdict, reason, fence, retries, losses, params,
    queue, priority, attempts_earlier, number, node, started, ended, outcome, exit_code, signal, cpu_ms,
    memory_bytes_max, start_delay_us, exit_reason)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24,
    ?25, ?26, ?27, ?28)
