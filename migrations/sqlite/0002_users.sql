-- Who has spoken. A table of its own, so that listing users costs nothing per message.
create table if not exists users (
    name text primary key not null
) strict, without rowid;
