-- The newest message's id and time, in one row. A row of its own, because an id must not be given
-- out again after its message was deleted.
create table if not exists message_sequence (
    id tinyint not null,
    last_id bigint not null,
    -- UTC. Times never go back, even when the database's clock does.
    last_created_at datetime(3) not null,
    primary key (id)
) engine = InnoDB;
