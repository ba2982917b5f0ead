-- Tells a store that came back: older than what was acknowledged, copied, or restored.

-- One row. `lineage` is this store's own name, `commits` counts its transactions, `home` says which file it was when it
-- was last opened. What was acknowledged stands beside the store too, in its receipt.
CREATE TABLE ledger (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    lineage TEXT NOT NULL CHECK (length(lineage) = 32),
    commits INTEGER NOT NULL CHECK (commits >= 0),
    home    TEXT NOT NULL
) STRICT;
INSERT INTO ledger (one, lineage, commits, home) VALUES (1, lower(hex(randomblob(16))), 0, '');

-- Each time it came back. Nothing fires while one is not accepted.
CREATE TABLE comeback (
    number      INTEGER PRIMARY KEY CHECK (number > 0),
    kind        TEXT NOT NULL CHECK (kind IN ('behind', 'foreign', 'copied', 'restored')),
    missing     INTEGER NOT NULL CHECK (missing >= 0),
    receipt     TEXT NOT NULL,
    known_until INTEGER NOT NULL,
    lost_until  INTEGER,
    accepted    INTEGER
) STRICT;

-- The SHA-256 of an archive's file; none for those that were archived before this.
ALTER TABLE segment ADD COLUMN checksum BLOB CHECK (length(checksum) = 32);
