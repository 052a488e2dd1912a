-- Who has spoken. A table of its own, so that listing users costs nothing per message.
create table if not exists users (
    name varchar(100) character set utf8mb4 collate utf8mb4_bin not null,
    primary key (name)
) engine = InnoDB default character set utf8mb4 collate utf8mb4_bin;
