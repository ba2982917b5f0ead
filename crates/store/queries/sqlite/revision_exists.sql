SELECT EXISTS (SELECT 1 FROM job_revision WHERE job = ?1 AND revision = ?2)
