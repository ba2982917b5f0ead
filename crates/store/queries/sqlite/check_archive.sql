-- The state of an archive and its rows. The number takes the place of SEGMENT.
SELECT integrity_check || ' ' || (SELECT count(*) FROM history_run_SEGMENT) || ' ' || (SELECT count(*) FROM history_skip_SEGMENT)
FROM pragma_integrity_check
