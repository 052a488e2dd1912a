//! The queries that both databases understand: one function each, made for both kinds of
//! connection. What differs (connecting, creating, storing) is in `mysql/` and `sqlite/`.

use crate::{message::MessageId, telemetry::Query};
use time::OffsetDateTime;

pub const MESSAGES_BY_DEDUP: Query = Query::select(
    "messages",
    "select dedup, id, user, text, created_at from messages where dedup in (?)",
);
pub const NEWEST_MESSAGES: Query = Query::select(
    "messages",
    "select id, user, text, created_at from messages \
     where id > ? and id < ? order by id desc limit ?",
);
pub const OLDEST_MESSAGES: Query = Query::select(
    "messages",
    "select id, user, text, created_at from messages where id > ? order by id limit ?",
);
pub const MESSAGE_BY_ID: Query =
    Query::select("messages", "select id, user, text, created_at from messages where id = ?");
pub const USERS_AFTER: Query =
    Query::select("users", "select name from users where name > ? order by name limit ?");

/// What an insert has given to a batch of messages.
#[derive(Debug)]
pub struct Inserted {
    /// The first message's id; those of the others follow it without a gap.
    pub first_id: MessageId,
    pub created_at: OffsetDateTime,
}

/// The text of a query without its end, which has one value where there may be many.
pub fn up_to(query: &Query, end: &str) -> &'static str {
    query.text.strip_suffix(end).unwrap_or(query.text)
}

macro_rules! queries {
    ($module:ident, $database:ty, $row:ty) => {
        pub mod $module {
            use crate::store::queries::{
                MESSAGE_BY_ID, MESSAGES_BY_DEDUP, NEWEST_MESSAGES, OLDEST_MESSAGES, USERS_AFTER,
                up_to, up_to_power_of_two,
            };
            use crate::message::{Message, MessageId};
            use sqlx::{
                Database, FromRow, QueryBuilder, Result, Row, query, query_as, query_scalar,
            };
            use std::collections::{BTreeSet, HashMap, HashSet};
            use uuid::Uuid;

            type Connection = <$database as Database>::Connection;

            impl FromRow<'_, $row> for Message {
                fn from_row(row: &$row) -> Result<Self> {
                    Ok(Self {
                        id: row.try_get("id")?,
                        user: row.try_get("user")?,
                        text: row.try_get("text")?,
                        created_at: row.try_get("created_at")?,
                    })
                }
            }

            /// The names that are not stored. An insert that leaves them out by itself would wait
            /// for a lock on one of them; this read waits for none.
            pub async fn missing_names<'a>(
                connection: &mut Connection,
                names: &BTreeSet<&'a str>,
            ) -> Result<Vec<&'a str>> {
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

            /// The messages that are stored under some of these.
            pub async fn messages_by_dedup(
                connection: &mut Connection,
                dedups: &[Uuid],
            ) -> Result<HashMap<Uuid, Message>> {
                let select = up_to(&MESSAGES_BY_DEDUP, "?)");
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

            /// Copies the list of migrations from the name that earlier servers gave it.
            pub async fn copy_migrations(connection: &mut Connection) -> Result<()> {
                let copy = "insert into chat_server_migrations (version, description, \
                            installed_on, success, checksum, execution_time) select version, \
                            description, installed_on, success, checksum, execution_time \
                            from _sqlx_migrations";
                query(copy).execute(connection).await.map(drop)
            }

            /// Forgets that migrations up to a version were applied, so that they are applied
            /// again. With `failed_only`, those that have finished stay.
            pub async fn forget_migrations(
                connection: &mut Connection,
                version_max: i64,
                failed_only: bool,
            ) -> Result<()> {
                query("delete from chat_server_migrations where version <= ? and (not success or not ?)")
                    .bind(version_max)
                    .bind(failed_only)
                    .execute(connection)
                    .await
                    .map(drop)
            }
        }
    };
}

queries!(mysql, sqlx::MySql, sqlx::mysql::MySqlRow);
queries!(sqlite, sqlx::Sqlite, sqlx::sqlite::SqliteRow);

/// Repeats the last item until there are a power of two, so that lists of any length make a handful
/// of prepared statements.
pub fn up_to_power_of_two<'a, T: 'a>(
    items: impl IntoIterator<Item = &'a T, IntoIter: ExactSizeIterator + Clone>,
) -> impl Iterator<Item = &'a T> {
    let items = items.into_iter();
    let missing = items.len().next_power_of_two() - items.len();
    items.clone().chain(std::iter::repeat_n(items.last(), missing).flatten())
}
