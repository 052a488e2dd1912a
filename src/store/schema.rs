//! Whose tables are in the database. Names such as `users` are common, and the tables of another
//! application must be neither shown nor written to.

use super::error::ForeignTables;
use sqlx::{FromRow, MySqlConnection, Row, SqliteConnection, query};
use std::collections::BTreeMap;

/// A table of this server: its name, the migration that creates it, and its columns in order.
type Table = (&'static str, i64, &'static [&'static str]);

/// Each column with its type, its size, its collation and its key, if it has them.
const MYSQL: &[Table] = &[
    (
        "messages",
        1,
        &[
            "id bigint pri",
            "dedup binary 16 uni",
            "user varchar 100 utf8mb4_bin",
            "text mediumtext 16777215 utf8mb4_bin",
            "created_at datetime 3",
        ],
    ),
    ("users", 2, &["name varchar 100 utf8mb4_bin pri"]),
    ("message_sequence", 3, &["id tinyint pri", "last_id bigint", "last_created_at datetime 3"]),
];

/// Each column with its type, whether it is declared as not null, and whether it is the key.
const SQLITE: &[Table] = &[
    (
        "messages",
        1,
        &[
            "id integer 0 1",
            "dedup blob 1 0",
            "user text 1 0",
            "text text 1 0",
            "created_at text 1 0",
        ],
    ),
    ("users", 2, &["name text 1 1"]),
];

/// The columns that were found, by table.
type Found = BTreeMap<String, Vec<String>>;

/// Fails when tables of another application are where this server's would be. A table whose
/// migration is on the list is this server's.
pub async fn check_mysql(connection: &mut MySqlConnection, versions: &[i64]) -> sqlx::Result<()> {
    let rows = query(
        "select convert(table_name using utf8mb4), convert(concat_ws(' ', column_name, data_type, \
         coalesce(character_maximum_length, datetime_precision), collation_name, \
         nullif(lower(column_key), '')) using utf8mb4), convert(database() using utf8mb4) \
         from information_schema.columns where table_schema = database() and table_name in \
         ('messages', 'users', 'message_sequence') order by table_name, ordinal_position",
    )
    .fetch_all(connection)
    .await?;
    let database = rows.first().map(|row| row.try_get(2)).transpose()?.unwrap_or_default();
    refuse(MYSQL, &found(&rows)?, versions, database)
}

/// The same for SQLite.
pub async fn check_sqlite(
    connection: &mut SqliteConnection,
    versions: &[i64],
    file: String,
) -> sqlx::Result<()> {
    let rows = query(
        "select lower(found.name), lower(it.name || ' ' || it.type || ' ' || it.\"notnull\" || ' ' \
         || it.pk) from sqlite_master found join pragma_table_info(found.name) it \
         where found.type in ('table', 'view') order by found.name, it.cid",
    )
    .fetch_all(connection)
    .await?;
    refuse(SQLITE, &found(&rows)?, versions, file)
}

fn found<'r, R: Row>(rows: &'r [R]) -> sqlx::Result<Found>
where
    (String, String): FromRow<'r, R>,
{
    let mut found = Found::new();
    for row in rows {
        let (table, column) = FromRow::from_row(row)?;
        found.entry(table).or_default().push(column);
    }
    Ok(found)
}

fn refuse(tables: &[Table], found: &Found, versions: &[i64], database: String) -> sqlx::Result<()> {
    let is_foreign = |(name, version, columns): &&Table| {
        found.get(*name).is_some_and(|found| {
            if versions.contains(version) {
                // A later migration, or a person, may have added to it.
                let names: Vec<_> = found.iter().map(|column| name_of(column)).collect();
                !columns.iter().all(|column| names.contains(&name_of(column)))
            } else {
                found != columns
            }
        })
    };
    let foreign: Vec<_> = tables.iter().filter(is_foreign).map(|(name, ..)| *name).collect();
    if foreign.is_empty() {
        return Ok(());
    }
    Err(sqlx::Error::Configuration(Box::new(ForeignTables { database, tables: foreign })))
}

fn name_of(column: &str) -> &str {
    column.split(' ').next().unwrap_or_default()
}
