//! The settings of the connection to MySQL, as they were read last.

use super::url::{self, MySqlUrl};
use crate::{config::DatabaseUrl, store::location::Location};
use anyhow::{Context, ensure};
use secrecy::{ExposeSecret, SecretString};
use sqlx::mysql::MySqlSslMode;
use std::{fs, os::unix::fs::MetadataExt, path::Path};

#[derive(Clone, Debug)]
pub struct Target {
    /// The URL with its password.
    text: SecretString,
    pub url: MySqlUrl,
}

/// What changes with the content of a file, if it exists: its inode, its size, and when it was
/// changed.
pub type Stamp = Option<(u64, u64, i64, i64)>;

impl Target {
    /// Reads the files of the settings and those that the URL names.
    pub fn read(settings: &DatabaseUrl) -> anyhow::Result<Self> {
        let (text, setting) = (settings.read()?, settings.setting);
        let scheme = text.expose_secret().split_once(':').map(|(scheme, _)| scheme);
        let is_sqlite = scheme == Some("sqlite");
        ensure!(!is_sqlite, "{setting}: a server that runs with MySQL cannot leave it");
        let is_mysql = matches!(scheme, Some("mysql" | "mariadb"));
        ensure!(is_mysql, "{setting}: it is no URL; it must be {}", url::EXAMPLE);
        let url = url::parse(text.expose_secret()).context(setting)?;
        Ok(Self { text, url })
    }

    pub fn is_same(&self, other: &Self) -> bool {
        self.text.expose_secret() == other.text.expose_secret() && self.url.files == other.url.files
    }

    pub fn location(&self) -> String {
        Location::of_server(&self.url.options).to_string()
    }

    /// The stamps of all files that it was read from.
    pub fn stamps(&self, settings: &DatabaseUrl) -> Vec<Stamp> {
        let named = self.url.files.iter().map(|file| file.path.as_path());
        settings.files().chain(named).map(stamp).collect()
    }

    #[must_use]
    pub fn without_tls(&self) -> Self {
        let mut target = self.clone();
        for options in [&mut target.url.options, &mut target.url.server] {
            *options = options.clone().ssl_mode(MySqlSslMode::Disabled);
        }
        target
    }
}

fn stamp(file: &Path) -> Stamp {
    let file = fs::metadata(file).ok()?;
    Some((file.ino(), file.size(), file.ctime(), file.ctime_nsec()))
}
