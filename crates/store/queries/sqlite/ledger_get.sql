SELECT lineage, commits, home FROM ledger WHERE one = 1
