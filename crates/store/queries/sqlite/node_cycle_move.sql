-- Locks the node's row until the commit; whoever reads it after an unknown commit learns whether it applied.
UPDATE node SET cycle = cycle + 1 WHERE id = ?1 AND cycle = ?2
