//! The queries that both databases understand: one function each, stamped out for both kinds of
//! connection. What differs (connecting, creating, new names, new ids) is in `mysql.rs` and
//! `sqlite.rs`.

use crate::telemetry::Statement;

pub const INSERT_MESSAGES: Statement = Statement {
    operation: "INSERT",
    table: "messages",
    text: "insert into messages (dedup, user, text, created_at) values (?, ?, ?, ?)",
};
pub const MESSAGES_BY_DEDUP: Statement = Statement::select(
    "messages",
    "select dedup, id, user, text, created_at from messages where dedup in (?)",
);
pub const NEWEST_MESSAGES: Statement = Statement::select(
    "messages",
    "select id, user, text, created_at from messages \
     where id > ? and id < ? order by id desc limit ?",
);
pub const OLDEST_MESSAGES: Statement = Statement::select(
    "messages",
    "select id, user, text, created_at from messages where id > ? order by id limit ?",
);
pub const MESSAGE_BY_ID: Statement =
    Statement::select("messages", "select id, user, text, created_at from messages where id = ?");
pub const USERS_AFTER: Statement =
    Statement::select("users", "select name from users where name > ? order by name limit ?");

macro_rules! queries {
    ($module:ident, $database:ty, $begin:literal, $insert_names:literal) => {
        pub mod $module {
            use super::{
                MESSAGE_BY_ID, NEWEST_MESSAGES, OLDEST_MESSAGES, USERS_AFTER, up_to_power_of_two,
            };
            use crate::message::{Message, MessageId, NewMessage};
            use sqlx::{
                Connection as _, Database, FromRow, QueryBuilder, Result, Row, query, query_as,
                query_scalar,
            };
            use std::collections::{BTreeSet, HashMap, HashSet};
            use uuid::Uuid;

            type Connection = <$database as Database>::Connection;
            type QueryResult = <$database as Database>::QueryResult;

            /// Messages, and of their users' names the ones that are not stored: all or nothing.
            pub async fn insert(
                connection: &mut Connection,
                batch: &[&NewMessage],
                names: &BTreeSet<&str>,
            ) -> Result<QueryResult> {
                let new_names = missing_names(connection, names).await?;
                if new_names.is_empty() {
                    // One statement is a transaction of its own.
                    return insert_messages(connection, batch).await;
                }
                let mut transaction = connection.begin_with($begin).await?;
                insert_names(&mut transaction, &new_names).await?;
                let inserted = insert_messages(&mut transaction, batch).await?;
                transaction.commit().await?;
                Ok(inserted)
            }

            async fn insert_messages(
                connection: &mut Connection,
                batch: &[&NewMessage],
            ) -> Result<QueryResult> {
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

            /// The names that are not stored. An insert that leaves them out by itself would wait
            /// for whoever holds a lock on one of them; this read waits for nobody.
            async fn missing_names<'a>(
                connection: &mut Connection,
                names: &BTreeSet<&'a str>,
            ) -> Result<BTreeSet<&'a str>> {
                if names.is_empty() {
                    return Ok(BTreeSet::new());
                }
                let mut query =
                    QueryBuilder::<$database>::new("select name from users where name in (");
                let mut list = query.separated(", ");
                for name in up_to_power_of_two(names) {
                    list.push_bind(*name);
                }
                query.push(")");
                let stored: Vec<String> = query.build_query_scalar().fetch_all(connection).await?;
                let stored: HashSet<&str> = stored.iter().map(String::as_str).collect();
                Ok(names.iter().copied().filter(|name| !stored.contains(name)).collect())
            }

            /// Leaves out the names that somebody else has stored meanwhile.
            async fn insert_names(
                connection: &mut Connection,
                names: &BTreeSet<&str>,
            ) -> Result<()> {
                QueryBuilder::<$database>::new($insert_names)
                    .push_values(up_to_power_of_two(names), |mut row, name| {
                        row.push_bind(*name);
                    })
                    .build()
                    .execute(connection)
                    .await
                    .map(drop)
            }

            /// The messages that are stored under some of these.
            pub async fn messages_by_dedup(
                connection: &mut Connection,
                dedups: &[Uuid],
            ) -> Result<HashMap<Uuid, Message>> {
                let select =
                    "select dedup, id, user, text, created_at from messages where dedup in (";
                let mut query = QueryBuilder::<$database>::new(select);
                let mut list = query.separated(", ");
                for dedup in up_to_power_of_two(dedups) {
                    list.push_bind(*dedup);
                }
                query.push(")");
                let rows = query.build().fetch_all(connection).await?;
                rows.iter()
                    .map(|row| Ok((row.try_get("dedup")?, Message::from_row(row)?)))
                    .collect()
            }

            /// Messages between two ids (both excluded), the newest first.
            pub async fn newest_messages(
                connection: &mut Connection,
                after: MessageId,
                before: MessageId,
                limit: u32,
            ) -> Result<Vec<Message>> {
                query_as(NEWEST_MESSAGES.text)
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
                limit: u32,
            ) -> Result<Vec<Message>> {
                query_as(OLDEST_MESSAGES.text).bind(after).bind(limit).fetch_all(connection).await
            }

            pub async fn message_by_id(
                connection: &mut Connection,
                id: MessageId,
            ) -> Result<Option<Message>> {
                query_as(MESSAGE_BY_ID.text).bind(id).fetch_optional(connection).await
            }

            /// User names after a name, in byte order.
            pub async fn users_after(
                connection: &mut Connection,
                after: &str,
                limit: u32,
            ) -> Result<Vec<String>> {
                query_scalar(USERS_AFTER.text).bind(after).bind(limit).fetch_all(connection).await
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

queries!(mysql, sqlx::MySql, "begin", "insert ignore into users (name) ");
queries!(sqlite, sqlx::Sqlite, "begin immediate", "insert or ignore into users (name) ");

/// Repeats the last item until there are a power of two, so that lists of any length make a handful
/// of prepared statements.
fn up_to_power_of_two<'a, T: 'a>(
    items: impl IntoIterator<Item = &'a T, IntoIter: ExactSizeIterator + Clone>,
) -> impl Iterator<Item = &'a T> {
    let items = items.into_iter();
    let missing = items.len().next_power_of_two() - items.len();
    items.clone().chain(std::iter::repeat_n(items.last(), missing).flatten())
}
