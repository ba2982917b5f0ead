-- Appends to the live segment, whose number takes the place of SEGMENT.
INSERT INTO history_skip_SEGMENT (job, trigger, revision, first, step, count, last, disposition, reason, at)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
