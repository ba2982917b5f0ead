INSERT INTO job (id, name, revision, paused_since, paused_reason, retired, serial, failures, owner)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
