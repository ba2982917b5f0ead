-- The last instant of which the store knows anything.
SELECT max(at) FROM (
    SELECT max(at_max) AS at FROM segment
    UNION ALL SELECT max(leased_at) FROM run
    UNION ALL SELECT max(since) FROM node
    UNION ALL SELECT max(at) FROM job_revision)
