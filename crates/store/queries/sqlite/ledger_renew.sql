-- What comes after a comeback is another store than the one that was lost: it takes a name of its own.
UPDATE ledger SET lineage = lower(hex(randomblob(16))), home = ?1, commits = commits + 1 WHERE one = 1
