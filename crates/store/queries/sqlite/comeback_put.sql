INSERT INTO comeback (kind, missing, receipt, known_until, lost_until) VALUES (?1, ?2, ?3, ?4, ?5)
