-- The newest first.
SELECT number, state, day, runs, skips, nominal_min, nominal_max, id_min, id_max, at_max
FROM segment ORDER BY number DESC
