//! What a URL says of the file of SQLite.

use anyhow::{Context, ensure};
use sqlx::sqlite::SqliteConnectOptions;

/// # Errors
/// When the URL does not name a file that messages can be kept in.
pub fn parse(url: &str) -> anyhow::Result<SqliteConnectOptions> {
    let (file, parameters) = url.split_once('?').unwrap_or((url, ""));
    ensure!(
        !matches!(file.trim_end_matches('/'), "sqlite:"),
        "{url} names no file; it is sqlite://FILE, such as sqlite://chat.db"
    );
    ensure!(
        !file.ends_with(":memory:") && !parameters.contains("mode=memory"),
        "{url} is an in-memory database, which each connection would have for itself; name a file, \
         such as sqlite://chat.db"
    );
    ensure!(
        !parameters.contains("mode=ro") && !parameters.contains("immutable"),
        "{url} opens the file for reading only, and posts are written; leave that parameter out"
    );
    ensure!(
        matches!(parameters, "" | "mode=rw" | "mode=rwc"),
        "{url}: {parameters} is not known; it is sqlite://FILE, such as sqlite://chat.db"
    );
    let options = file.parse().ok();
    options.with_context(|| format!("{url} is not UTF-8 when its percent-encoding is undone"))
}
