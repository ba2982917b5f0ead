INSERT INTO due (next_at, trigger, cursor, fired) VALUES (?1, ?2, ?3, ?4)
