//! The queries that both databases understand: one function each, stamped out for both kinds of
//! connection. What differs (connecting, creating, new names, new ids) is in `mysql.rs` and
//! `sqlite.rs`.

macro_rules! queries {
    ($module:ident, $database:ty) => {
        pub mod $module {
            use crate::message::{Message, MessageId, NewMessage};
            use sqlx::{Database, QueryBuilder, Result, query, query_as, query_scalar};
            use uuid::Uuid;

            type Connection = <$database as Database>::Connection;

            /// All of a batch in one statement.
            pub async fn insert_messages(
                connection: &mut Connection,
                batch: &[NewMessage],
            ) -> Result<<$database as Database>::QueryResult> {
                let insert = "insert into messages (dedup, user, text, created_at) ";
                QueryBuilder::<$database>::new(insert)
                    .push_values(batch, |mut row, message| {
                        row.push_bind(message.dedup)
                            .push_bind(message.user.as_str())
                            .push_bind(message.text.as_str())
                            .push_bind(message.created_at);
                    })
                    .build()
                    .execute(connection)
                    .await
            }

            /// Messages between two ids (both excluded), the newest first.
            pub async fn newest_messages(
                connection: &mut Connection,
                after: MessageId,
                before: MessageId,
                limit: i64,
            ) -> Result<Vec<Message>> {
                query_as(
                    "select id, user, text, created_at from messages \
                     where id > ? and id < ? order by id desc limit ?",
                )
                .bind(after)
                .bind(before)
                .bind(limit)
                .fetch_all(connection)
                .await
            }

            /// Messages after an id, the oldest first.
            pub async fn oldest_messages(
                connection: &mut Connection,
                after: MessageId,
                limit: i64,
            ) -> Result<Vec<Message>> {
                query_as(
                    "select id, user, text, created_at from messages \
                     where id > ? order by id limit ?",
                )
                .bind(after)
                .bind(limit)
                .fetch_all(connection)
                .await
            }

            pub async fn message_by_id(
                connection: &mut Connection,
                id: MessageId,
            ) -> Result<Option<Message>> {
                query_as("select id, user, text, created_at from messages where id = ?")
                    .bind(id)
                    .fetch_optional(connection)
                    .await
            }

            pub async fn message_by_dedup(
                connection: &mut Connection,
                dedup: Uuid,
            ) -> Result<Option<Message>> {
                query_as("select id, user, text, created_at from messages where dedup = ?")
                    .bind(dedup)
                    .fetch_optional(connection)
                    .await
            }

            /// User names after a name, in byte order.
            pub async fn users_after(
                connection: &mut Connection,
                after: String,
                limit: i64,
            ) -> Result<Vec<String>> {
                query_scalar("select name from users where name > ? order by name limit ?")
                    .bind(after)
                    .bind(limit)
                    .fetch_all(connection)
                    .await
            }

            /// Fails unless both tables can be read. Costs the same however full they are.
            pub async fn probe(connection: &mut Connection) -> Result<()> {
                query("select exists (select 1 from messages), exists (select 1 from users)")
                    .fetch_one(connection)
                    .await
                    .map(drop)
            }

            /// Forgets that migrations up to a version were applied, so that they are applied
            /// again. `failed_only` leaves out the ones that were finished.
            pub async fn forget_migrations(
                connection: &mut Connection,
                version_max: i64,
                failed_only: bool,
            ) -> Result<()> {
                query("delete from _sqlx_migrations where version <= ? and (not success or not ?)")
                    .bind(version_max)
                    .bind(failed_only)
                    .execute(connection)
                    .await
                    .map(drop)
            }
        }
    };
}

queries!(mysql, sqlx::MySql);
queries!(sqlite, sqlx::Sqlite);
