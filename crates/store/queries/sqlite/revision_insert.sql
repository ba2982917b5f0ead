INSERT INTO job_revision (job, revision, definition, at) VALUES (?1, ?2, ?3, ?4)
