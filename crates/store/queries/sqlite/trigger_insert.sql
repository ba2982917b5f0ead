INSERT INTO trigger (id, job, name, anchor, live) VALUES (?1, ?2, ?3, ?4, ?5)
