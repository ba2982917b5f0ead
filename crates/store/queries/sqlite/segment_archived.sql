UPDATE segment SET state = 'archived', checksum = ?2 WHERE number = ?1 AND state = 'sealed'
