UPDATE comeback SET accepted = ?1 WHERE accepted IS NULL
