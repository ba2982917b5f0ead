UPDATE segment SET state = ?2, day = ?3, runs = ?4, skips = ?5, nominal_min = ?6, nominal_max = ?7,
    id_min = ?8, id_max = ?9, at_max = ?10
WHERE number = ?1
