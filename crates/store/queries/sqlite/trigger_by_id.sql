-- One trigger; the writer knows under which next_at it stands.
SELECT t.id, t.job, t.name, d.cursor, d.next_at, t.anchor, d.fired, t.live
FROM trigger AS t JOIN due AS d ON d.next_at = ?2 AND d.trigger = t.id
WHERE t.id = ?1
