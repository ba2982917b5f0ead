SELECT id, host, since, cycle FROM node ORDER BY id
