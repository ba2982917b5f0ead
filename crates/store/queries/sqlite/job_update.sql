UPDATE job SET name = ?2, revision = ?3, paused_since = ?4, paused_reason = ?5, retired = ?6, serial = ?7,
    failures = ?8, owner = ?9
WHERE id = ?1
