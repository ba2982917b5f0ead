SELECT checksum FROM segment WHERE number = ?1
