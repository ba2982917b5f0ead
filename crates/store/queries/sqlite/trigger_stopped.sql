-- Triggers in force that are not in the due set, by number: a walk along the end of `due`, where those stand.
SELECT t.id, t.job, t.name, d.cursor, d.next_at, t.anchor, d.fired, t.live, j.revision
FROM due AS d JOIN trigger AS t ON t.id = d.trigger JOIN job AS j ON j.id = t.job
WHERE d.next_at = 9223372036854775807 AND d.trigger > ?1
    AND t.live = 1 AND j.retired = 0 AND j.paused_since IS NULL
ORDER BY d.trigger LIMIT ?2
