-- Where each trigger stands, for the writer's own list of where to find it.
SELECT trigger, next_at FROM due ORDER BY trigger
