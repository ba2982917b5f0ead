INSERT INTO dedup (job, key, run, expires) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (job, key) DO UPDATE SET run = excluded.run, expires = excluded.expires
