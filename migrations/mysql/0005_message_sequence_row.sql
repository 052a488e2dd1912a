-- The sequence goes on after the messages that are there.
insert ignore into message_sequence (id, last_id, last_created_at)
select 1, coalesce(max(id), 0), coalesce(max(created_at), '1970-01-01')
from (select id, created_at from messages order by id desc limit 1) newest;
