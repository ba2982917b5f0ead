-- Edits only: firing a trigger does not come here.
UPDATE trigger SET job = ?2, name = ?3, anchor = ?4, live = ?5 WHERE id = ?1
