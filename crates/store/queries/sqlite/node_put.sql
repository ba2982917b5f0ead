-- A node that registers again keeps its cycle.
INSERT INTO node (id, host, since, cycle) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (id) DO UPDATE SET host = excluded.host, since = excluded.since
