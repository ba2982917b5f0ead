-- The first schema. Instants are microseconds of UTC, ids are big-endian bytes, closed sets are the words of the core.

CREATE TABLE meta (
    name  TEXT PRIMARY KEY,
    value TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE node (
    id    BLOB PRIMARY KEY CHECK (length(id) = 16),
    host  TEXT NOT NULL,
    since INTEGER NOT NULL,
    cycle INTEGER NOT NULL CHECK (cycle >= 0)
) STRICT, WITHOUT ROWID;

CREATE TABLE job (
    id            INTEGER PRIMARY KEY CHECK (id > 0),
    name          TEXT NOT NULL UNIQUE,
    revision      INTEGER NOT NULL CHECK (revision > 0),
    paused_since  INTEGER,
    paused_reason TEXT,
    retired       INTEGER NOT NULL CHECK (retired IN (0, 1)),
    serial        INTEGER NOT NULL CHECK (serial IN (0, 1)),
    failures      INTEGER NOT NULL CHECK (failures >= 0),
    owner         TEXT NOT NULL,
    CHECK ((paused_since IS NULL) = (paused_reason IS NULL))
) STRICT;

CREATE TABLE job_revision (
    job        INTEGER NOT NULL REFERENCES job (id),
    revision   INTEGER NOT NULL CHECK (revision > 0),
    definition TEXT NOT NULL,
    at         INTEGER NOT NULL,
    PRIMARY KEY (job, revision)
) STRICT;

-- What does not change when a trigger fires. What does is in `due`.
CREATE TABLE trigger (
    id     INTEGER PRIMARY KEY CHECK (id > 0),
    job    INTEGER NOT NULL REFERENCES job (id),
    name   TEXT NOT NULL,
    anchor INTEGER NOT NULL,
    live   INTEGER NOT NULL CHECK (live IN (0, 1)),
    UNIQUE (job, name)
) STRICT;

-- One row for each trigger, clustered by time: triggers that fire together share pages, and firing one touches
-- nothing else. A trigger that is not in the due set stands at the end, under the largest next_at there is.
CREATE TABLE due (
    next_at INTEGER NOT NULL,
    trigger INTEGER NOT NULL,
    cursor  INTEGER NOT NULL,
    fired   INTEGER NOT NULL CHECK (fired >= 0),
    PRIMARY KEY (next_at, trigger)
) STRICT, WITHOUT ROWID;

-- Unfinished runs only. state: 0 held, 1 queued, 2 leased; the check is the state machine's shape.
CREATE TABLE run (
    id        BLOB NOT NULL UNIQUE CHECK (length(id) = 16),
    job       INTEGER NOT NULL,
    trigger   INTEGER,
    revision  INTEGER NOT NULL,
    key       TEXT NOT NULL,
    nominal   INTEGER NOT NULL,
    first_due INTEGER NOT NULL,
    state     INTEGER NOT NULL,
    hold      TEXT,
    due       INTEGER,
    rank      INTEGER,
    owner     BLOB CHECK (length(owner) = 16),
    leased_at INTEGER,
    started   INTEGER,
    stop      TEXT,
    fence     INTEGER NOT NULL CHECK (fence >= 0),
    retries   INTEGER NOT NULL CHECK (retries >= 0),
    losses    INTEGER NOT NULL CHECK (losses >= 0),
    params    TEXT NOT NULL,
    queue     TEXT NOT NULL,
    priority  INTEGER NOT NULL,
    attempts  TEXT,
    UNIQUE (job, key),
    FOREIGN KEY (job, revision) REFERENCES job_revision (job, revision),
    CHECK (CASE state
        WHEN 0 THEN hold IS NOT NULL AND due IS NULL AND rank IS NULL
            AND owner IS NULL AND leased_at IS NULL AND started IS NULL AND stop IS NULL
        WHEN 1 THEN hold IS NULL AND due IS NOT NULL AND rank IS NOT NULL
            AND owner IS NULL AND leased_at IS NULL AND started IS NULL AND stop IS NULL
        WHEN 2 THEN hold IS NULL AND due IS NULL AND rank IS NULL
            AND owner IS NOT NULL AND leased_at IS NOT NULL AND fence > 0
        ELSE 0 END)
) STRICT;

-- Only queued runs cost these two: the claim's order, and the next one to fall due.
CREATE INDEX run_rank ON run (rank, id, due) WHERE state = 1;
CREATE INDEX run_due ON run (due) WHERE state = 1;

CREATE TABLE dedup (
    job     INTEGER NOT NULL REFERENCES job (id),
    key     TEXT NOT NULL,
    run     BLOB NOT NULL CHECK (length(run) = 16),
    expires INTEGER NOT NULL,
    PRIMARY KEY (job, key)
) STRICT, WITHOUT ROWID;

-- The segments of history. Their tables are history_run_N and history_skip_N, or an archive file of that number.
-- The bounds let a read pass by the segments that cannot hold what it seeks.
CREATE TABLE segment (
    number      INTEGER PRIMARY KEY CHECK (number > 0),
    state       TEXT NOT NULL CHECK (state IN ('live', 'sealed', 'archived')),
    day         INTEGER,
    runs        INTEGER NOT NULL CHECK (runs >= 0),
    skips       INTEGER NOT NULL CHECK (skips >= 0),
    nominal_min INTEGER,
    nominal_max INTEGER,
    id_min      BLOB,
    id_max      BLOB,
    at_max      INTEGER
) STRICT;
