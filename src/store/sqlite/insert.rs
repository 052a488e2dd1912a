//! How a batch is stored on SQLite: as one transaction.

use crate::{
    message::NewMessage,
    store::queries::{Inserted, up_to, up_to_power_of_two},
    telemetry::Query,
};
use sqlx::{Connection, QueryBuilder, SqliteConnection, query_scalar};

pub const INSERT: Query = Query {
    operation: "INSERT",
    table: "messages",
    text: "insert into messages (dedup, user, text, created_at) values (?, ?, ?, ?)",
};

/// Stores messages, and these names: all or nothing. A file has one writer at a time, so its ids
/// become visible in their order by themselves.
pub async fn insert(
    connection: &mut SqliteConnection,
    batch: &[&NewMessage],
    new_names: &[&str],
) -> sqlx::Result<Inserted> {
    let mut transaction = connection.begin_with("begin immediate").await?;
    if !new_names.is_empty() {
        // Another process may have stored them meanwhile.
        QueryBuilder::new("insert or ignore into users (name) ")
            .push_values(up_to_power_of_two(new_names), |mut row, name| {
                row.push_bind(*name);
            })
            .build()
            .execute(&mut *transaction)
            .await?;
    }
    // Never before that of the newest message, even when the clock went back.
    let created_at = query_scalar(
        "select max(strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), \
         coalesce((select created_at from messages order by id desc limit 1), ''))",
    )
    .fetch_one(&mut *transaction)
    .await?;
    let mut last_id = 0;
    for messages in powers_of_two(batch) {
        last_id = QueryBuilder::new(up_to(&INSERT, "values (?, ?, ?, ?)"))
            .push_values(messages, |mut row, message| {
                row.push_bind(message.dedup)
                    .push_bind(message.user.as_str())
                    .push_bind(message.text.as_str())
                    .push_bind(created_at);
            })
            .build()
            .execute(&mut *transaction)
            .await?
            .last_insert_rowid();
    }
    transaction.commit().await?;
    let first_id = last_id + 1 - batch.len().cast_signed() as i64;
    Ok(Inserted { first_id, created_at })
}

/// Cuts a list into parts whose lengths are powers of two, so that lists of any length make a
/// handful of prepared statements.
fn powers_of_two<T>(mut list: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let count = 1 << list.len().checked_ilog2()?;
        let (part, rest) = list.split_at(count);
        list = rest;
        Some(part)
    })
}
