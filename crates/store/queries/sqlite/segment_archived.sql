UPDATE segment SET state = 'archived' WHERE number = ?1 AND state = 'sealed'
