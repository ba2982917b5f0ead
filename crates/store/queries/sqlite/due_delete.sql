DELETE FROM due WHERE next_at = ?1 AND trigger = ?2
