-- Every message, in the one order that readers see: `id`, which is never used again.
create table if not exists messages (
    id integer primary key autoincrement,
    -- What makes storing a message twice impossible; see src/message.rs.
    dedup blob not null unique,
    user text not null,
    text text not null,
    -- UTC, as RFC 3339 has it.
    created_at text not null
) strict;
