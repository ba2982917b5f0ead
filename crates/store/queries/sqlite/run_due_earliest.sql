SELECT min(due) FROM run INDEXED BY run_due WHERE state = 1
