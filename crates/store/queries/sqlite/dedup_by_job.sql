SELECT job, key, run, expires FROM dedup WHERE job = ?1 AND key = ?2
