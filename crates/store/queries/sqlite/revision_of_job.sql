SELECT job, revision, definition, at FROM job_revision WHERE job = ?1 ORDER BY revision
