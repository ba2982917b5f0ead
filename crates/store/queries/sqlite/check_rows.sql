-- What no constraint can say.
SELECT 'trigger ' || id || ' has no place in the due set' FROM trigger
WHERE id NOT IN (SELECT trigger FROM due)
UNION ALL
SELECT 'the due set holds trigger ' || trigger || ' ' || count(*) || ' times' FROM due GROUP BY trigger HAVING count(*) > 1
UNION ALL
SELECT 'the due set holds trigger ' || trigger || ', which does not exist' FROM due
WHERE trigger NOT IN (SELECT id FROM trigger)
UNION ALL
SELECT 'trigger ' || t.id || ' of job ' || j.name || ' is due, but '
    || CASE WHEN t.live = 0 THEN 'not in force' WHEN j.retired = 1 THEN 'its job was removed' ELSE 'its job is paused' END
FROM due AS d JOIN trigger AS t ON t.id = d.trigger JOIN job AS j ON j.id = t.job
WHERE d.next_at < 9223372036854775807 AND (t.live = 0 OR j.retired = 1 OR j.paused_since IS NOT NULL)
UNION ALL
SELECT 'job ' || name || ' has no revision ' || revision FROM job AS j
WHERE NOT EXISTS (SELECT 1 FROM job_revision AS r WHERE r.job = j.id AND r.revision = j.revision)
UNION ALL
SELECT 'the run with key ' || r.key || ' was made by trigger ' || r.trigger || ', which does not exist' FROM run AS r
WHERE r.trigger IS NOT NULL AND NOT EXISTS (SELECT 1 FROM trigger AS t WHERE t.id = r.trigger)
UNION ALL
SELECT 'there are ' || count(*) || ' segments of history that are written to' FROM segment WHERE state = 'live'
HAVING count(*) <> 1
