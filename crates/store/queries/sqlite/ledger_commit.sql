-- In every transaction of the writer, last.
UPDATE ledger SET commits = commits + 1 WHERE one = 1
