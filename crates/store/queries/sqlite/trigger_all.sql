-- All triggers, in the order of the clustered table: reads both from end to end. The caller sorts.
SELECT t.id, t.job, t.name, d.cursor, d.next_at, t.anchor, d.fired, t.live
FROM due AS d CROSS JOIN trigger AS t ON t.id = d.trigger
