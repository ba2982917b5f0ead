SELECT d.job, d.key, d.run, d.expires FROM job AS j JOIN dedup AS d ON d.job = j.id
WHERE j.name = ?1 AND d.key = ?2
