-- Every message, in the one order that readers see: `id`. Signed, because SQLite has no unsigned
-- 64-bit integer and one range for both is one thing less to know.
create table if not exists messages (
    id bigint not null auto_increment,
    -- What makes storing a message twice impossible; see src/message.rs.
    dedup binary(16) not null,
    -- Compared byte for byte, so that Bob, bob and böb are three users.
    user varchar(100) character set utf8mb4 collate utf8mb4_bin not null,
    -- 65,535 characters are up to 262,140 bytes: more than `text` holds.
    text mediumtext character set utf8mb4 collate utf8mb4_bin not null,
    -- UTC.
    created_at datetime(3) not null,
    primary key (id),
    unique key messages_dedup (dedup)
) engine = InnoDB default character set utf8mb4 collate utf8mb4_bin;
