-- Triggers that are due, earliest first. Reads the head of the clustered table; locks nothing of its own.
SELECT d.trigger, t.job, t.name, d.cursor, d.next_at, t.anchor, d.fired, t.live
FROM due AS d JOIN trigger AS t ON t.id = d.trigger
WHERE d.next_at <= ?1 AND d.next_at < 9223372036854775807
ORDER BY d.next_at, d.trigger LIMIT ?2
