//! The file of an SQLite database: its URL, and why it cannot be opened.

use crate::{config::Migrate, store::fault::sqlite_code};
use anyhow::{Context, ensure};
use sqlx::sqlite::SqliteConnectOptions;
use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind},
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
        !parameters.contains("mode=ro") && !parameters.contains("immutable"),
        "{url} opens the file for reading only, and posts are written; leave that parameter out"
    );
    ensure!(
        parameters != "mode=rw",
        "{url} does not create the file; leave that parameter out, or set MIGRATE=off, with which \
         another process creates it"
    );
    ensure!(
        !file.ends_with(":memory:") && !parameters.contains("mode=memory"),
        "{url} is an in-memory database, which each connection would have for itself; name a file, \
         such as sqlite://chat.db"
    );
    ensure!(
        matches!(parameters, "" | "mode=rwc"),
        "{url}: {parameters} is not known; it is sqlite://FILE, such as sqlite://chat.db"
    );
    let options: Option<SqliteConnectOptions> = file.parse().ok();
    let options = options
        .with_context(|| format!("{url} is not UTF-8 when its percent-encoding is undone"))?;
    let name = options.get_filename().as_os_str().as_encoded_bytes();
    ensure!(!name.contains(&0), "{url} has a NUL byte (%00), which no name of a file may have");
    ensure!(
        !name.ends_with(b"/"),
        "{url} ends with a slash, as a directory does; name a file, such as sqlite://chat.db"
    );
    ensure!(
        !name.starts_with(b"file:") && !name.ends_with(b":memory:"),
        "{url} has a name with a meaning of its own in SQLite; name a file, such as \
         sqlite://chat.db"
    );
    Ok(options)
}

/// The error with the reason of the system, which SQLite does not report. `in_use` says that this
/// process has the file open: to close it once more would release all its locks (POSIX), and
/// another process could write at the same time.
pub fn explain(error: sqlx::Error, file: &Path, migrate: Migrate, in_use: bool) -> sqlx::Error {
    // PERM, READONLY, CANTOPEN.
    if !matches!(sqlite_code(&error).map(|code| code & 0xff), Some(3 | 8 | 14)) {
        return error;
    }
    match try_to_write(file, migrate != Migrate::Off, in_use) {
        Ok(()) => error,
        Err(reason) => reason.into(),
    }
}

/// Opens the file for writing, and creates one beside it, as SQLite does for its log.
fn try_to_write(file: &Path, create: bool, in_use: bool) -> io::Result<()> {
    let has_file = match fs::metadata(file) {
        Ok(_) => true,
        // SQLite follows a link, and could not create what it leads to.
        Err(error) if error.kind() != ErrorKind::NotFound || create && file.is_symlink() => {
            return Err(error);
        }
        Err(_) if !create && folder(file).exists() => {
            let missing = format!(
                "{} does not exist, and MIGRATE=off leaves it to another process to create it",
                file.display()
            );
            return Err(io::Error::new(ErrorKind::NotFound, missing));
        }
        Err(_) => false,
    };
    if has_file && !in_use {
        open(file)?;
        for side in ["-journal", "-wal", "-shm"].map(|suffix| beside(file, suffix)) {
            if side.exists() {
                let named = |error: io::Error| format!("{}: {error}", side.display());
                open(&side).map_err(|error| io::Error::new(error.kind(), named(error)))?;
            }
        }
    }
    // Under a name of its own: one of SQLite's could be in use by another process before it is
    // removed.
    let trial = beside(file, &format!("-{:016x}", fastrand::u64(..)));
    File::create_new(&trial)?;
    fs::remove_file(trial)
}

fn open(file: &Path) -> io::Result<()> {
    OpenOptions::new().read(true).write(true).open(file).map(drop)
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    [file.as_os_str(), suffix.as_ref()].into_iter().collect::<OsString>().into()
}

fn folder(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Why no retry can open the database, if that is so: the setting is wrong, or the directory. A
/// full disk is not of this kind.
pub fn beyond_repair(file: &Path, error: &sqlx::Error) -> Option<String> {
    let shown = file.display();
    if let Some(kind) = fs::metadata(file).ok().filter(|metadata| !metadata.is_file()) {
        let kind = if kind.is_dir() { "a directory" } else { "a device or a pipe" };
        return Some(format!("{shown} is {kind}; name a file"));
    }
    if let sqlx::Error::Io(error) = error {
        return cannot_write(file, error);
    }
    match sqlite_code(error)? & 0xff {
        // CORRUPT, NOTADB.
        11 => Some(format!("{shown} is damaged ({error}); restore a backup, or name another file")),
        26 => Some(format!("{shown} is not an SQLite database; name another file")),
        _ => None,
    }
}

fn cannot_write(file: &Path, error: &io::Error) -> Option<String> {
    let (shown, folder) = (file.display(), folder(file));
    match error.kind() {
        ErrorKind::NotFound if !folder.exists() => Some(format!(
            "{shown} cannot be created, because the directory {} does not exist; create it, or \
             name another file",
            folder.display()
        )),
        // Another process may create it, or has just removed it.
        ErrorKind::NotFound if error.get_ref().is_some() || !file.is_symlink() => None,
        ErrorKind::NotFound
        | ErrorKind::PermissionDenied
        | ErrorKind::ReadOnlyFilesystem
        | ErrorKind::NotADirectory
        | ErrorKind::IsADirectory
        | ErrorKind::InvalidFilename => Some(unusable(file, error)),
        _ if error.raw_os_error() == Some(libc::ELOOP) => Some(unusable(file, error)),
        _ => None,
    }
}

fn unusable(file: &Path, error: &io::Error) -> String {
    let file = file.display();
    format!("{file} cannot be opened for writing: {error}; name a file that this user can write")
}

#[cfg(test)]
mod tests {
    use super::*;
    use sqlx::{ConnectOptions, Connection, Executor, SqliteConnection};
    use std::{os::unix::fs::MetadataExt, process};

    #[tokio::test]
    async fn looking_for_the_reason_keeps_the_locks_of_a_file_that_is_in_use() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chat.db");
        let options = SqliteConnectOptions::new().filename(&file).create_if_missing(true);
        let mut writer = options.connect().await.unwrap();
        writer.execute("begin immediate").await.unwrap();
        let (owner, inode) = (process::id(), fs::metadata(&file).unwrap().ino());
        let is_locked = || {
            let locks = fs::read_to_string("/proc/locks").unwrap();
            let is_ours = |lock: &str| {
                lock.contains(&format!(" {owner} ")) && lock.contains(&format!(":{inode} "))
            };
            locks.lines().any(is_ours)
        };
        assert!(is_locked(), "a writer has a lock");
        let refused = SqliteConnection::connect("sqlite:///nowhere/chat.db").await.unwrap_err();
        explain(refused, &file, Migrate::Auto, true);
        assert!(is_locked(), "nothing has released it");
    }
}
