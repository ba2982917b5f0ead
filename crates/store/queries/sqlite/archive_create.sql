-- The tables of an archive, as they were in the store. The number takes the place of SEGMENT.
CREATE TABLE history_run_SEGMENT (
    id               BLOB NOT NULL,
    job              INTEGER NOT NULL,
    trigger          INTEGER,
    revision         INTEGER NOT NULL,
    key              TEXT NOT NULL,
    nominal          INTEGER NOT NULL,
    first_due        INTEGER NOT NULL,
    finished         INTEGER NOT NULL,
    verdict          TEXT NOT NULL,
    reason           TEXT,
    fence            INTEGER NOT NULL,
    retries          INTEGER NOT NULL,
    losses           INTEGER NOT NULL,
    params           TEXT NOT NULL,
    queue            TEXT NOT NULL,
    priority         INTEGER NOT NULL,
    attempts_earlier TEXT,
    number           INTEGER,
    node             BLOB,
    started          INTEGER,
    ended            INTEGER,
    outcome          TEXT,
    exit_code        INTEGER,
    signal           INTEGER,
    cpu_ms           INTEGER,
    memory_bytes_max INTEGER,
    start_delay_us   INTEGER,
    exit_reason      TEXT
) STRICT;

CREATE TABLE history_skip_SEGMENT (
    job         INTEGER NOT NULL,
    trigger     INTEGER NOT NULL,
    revision    INTEGER NOT NULL,
    first       INTEGER NOT NULL,
    step        INTEGER NOT NULL,
    count       INTEGER NOT NULL,
    last        INTEGER NOT NULL,
    disposition TEXT NOT NULL,
    reason      TEXT,
    at          INTEGER NOT NULL
) STRICT;
