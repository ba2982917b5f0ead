-- By run, by job in the order of recording, and by job and nominal time.
CREATE INDEX history_run_id ON history_run_SEGMENT (id);
CREATE INDEX history_run_job ON history_run_SEGMENT (job);
CREATE INDEX history_run_tick ON history_run_SEGMENT (job, nominal);
CREATE INDEX history_skip_tick ON history_skip_SEGMENT (job, first);
