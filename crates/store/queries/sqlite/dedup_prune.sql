DELETE FROM dedup WHERE expires < ?1
