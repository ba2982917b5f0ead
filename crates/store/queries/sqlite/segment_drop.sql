-- The number takes the place of SEGMENT.
DROP TABLE history_run_SEGMENT;
DROP TABLE history_skip_SEGMENT;
