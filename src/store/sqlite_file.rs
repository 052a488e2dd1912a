//! The file of SQLite: what a URL says of it, and why it can never be opened.

use super::{database::Database, error::sqlite_code, mysql_url};
use crate::config::Migrate;
use anyhow::{Context, ensure};
use sqlx::sqlite::SqliteConnectOptions;
use std::{
    ffi::OsString,
    fs::{self, OpenOptions},
    io::ErrorKind,
    path::{Path, PathBuf},
};

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

/// Why no retry can open the database, if that is so: the setting is wrong, or the directory. A
/// full disk is not of this kind, and a database server can be repaired where it is.
pub fn beyond_repair(database: &Database, error: &sqlx::Error, migrate: Migrate) -> Option<String> {
    let Database::Sqlite(database) = database else { return mysql_url::refusal(error) };
    let (file, create) = (database.path(), migrate != Migrate::Off);
    let shown = file.display();
    if let Some(kind) = fs::metadata(&file).ok().filter(|metadata| !metadata.is_file()) {
        let kind = if kind.is_dir() { "a directory" } else { "a device or a pipe" };
        return Some(format!("{shown} is {kind}; name a file"));
    }
    match sqlite_code(error)? & 0xff {
        // CORRUPT, NOTADB.
        11 => Some(format!("{shown} is damaged ({error}); restore a backup, or name another file")),
        26 => Some(format!("{shown} is not an SQLite database; name another file")),
        // PERM, READONLY, CANTOPEN.
        3 | 8 | 14 => cannot_write(&file, create).or_else(|| {
            // It is created beside the file when that is opened.
            let log = [file.as_os_str(), "-wal".as_ref()].into_iter().collect::<OsString>();
            cannot_write(&PathBuf::from(log), create)
        }),
        _ => None,
    }
}

/// Opens the file as SQLite does, which keeps the reason of the system to itself.
fn cannot_write(file: &Path, create: bool) -> Option<String> {
    let opened = OpenOptions::new().read(true).write(true).create(create).open(file);
    let error = opened.err()?;
    let (shown, folder) = (file.display(), file.parent().unwrap_or(file));
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    match error.kind() {
        ErrorKind::NotFound if !folder.exists() => Some(format!(
            "{shown} cannot be created, because the directory {} does not exist; create it, or \
             name another file",
            folder.display()
        )),
        // Another process may create it.
        ErrorKind::NotFound if !create => None,
        ErrorKind::NotFound
        | ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotADirectory
        | ErrorKind::InvalidFilename => Some(format!(
            "{shown} cannot be opened for writing: {error}; name a file that this user can write"
        )),
        _ => None,
    }
}
