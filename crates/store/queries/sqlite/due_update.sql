-- A trigger whose next instant stays the same.
UPDATE due SET cursor = ?3, fired = ?4 WHERE next_at = ?1 AND trigger = ?2
