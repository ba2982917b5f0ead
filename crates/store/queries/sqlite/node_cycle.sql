SELECT cycle FROM node WHERE id = ?1
