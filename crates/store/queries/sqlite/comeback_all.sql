-- The oldest first.
SELECT number, kind, missing, receipt, known_until, lost_until, accepted FROM comeback ORDER BY number
