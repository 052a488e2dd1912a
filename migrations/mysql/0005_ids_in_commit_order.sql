-- An id is given out under the lock of `message_sequence`, which is held until the commit: so ids
-- become visible in their order. A server of an earlier version, which leaves the id to the
-- database, would break that order. It is refused: in strict SQL mode because `id` has no default,
-- in the others because 0 is not allowed. (MySQL before 8.0.16 does not enforce the latter.)
alter table messages modify id bigint not null, add check (id > 0);
