SELECT job, sum(state = 0), sum(state = 1), sum(state = 2) FROM run GROUP BY job ORDER BY job
