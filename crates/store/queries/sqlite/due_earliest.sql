-- The next instant at which a trigger is due.
SELECT min(next_at) FROM due WHERE next_at < 9223372036854775807
