UPDATE ledger SET home = ?1, commits = commits + 1 WHERE one = 1
