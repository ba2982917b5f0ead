SELECT id FROM trigger WHERE job = ?1 ORDER BY id
