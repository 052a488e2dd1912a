-- The sequence goes on after the messages that are there, and after those that were deleted: until
-- the next migration, the table's own counter knows them. (Read by itself, because Vitess would
-- lock what an insert selects from.)
set @used = (select auto_increment - 1 from information_schema.tables
    where table_schema = database() and table_name = 'messages');
insert ignore into message_sequence (id, last_id, last_created_at)
select 1, greatest(coalesce(max(id), 0), coalesce(@used, 0)), coalesce(max(created_at), '1970-01-01')
from (select id, created_at from messages order by id desc limit 1) newest;
