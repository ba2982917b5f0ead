SELECT job, revision, definition, at FROM job_revision WHERE job = ?1 AND revision = ?2
