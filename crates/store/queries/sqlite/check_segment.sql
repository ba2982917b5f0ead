-- The number takes the place of SEGMENT.
SELECT 'the run with key ' || h.key || ' is both unfinished and in the history' FROM history_run_SEGMENT AS h
WHERE h.id IN (SELECT id FROM run)
