SELECT id, name, revision, paused_since, paused_reason, retired, serial, failures, owner
FROM job ORDER BY id
