//! The database URL, assembled from the settings that contain it and its password.

use super::setting;
use anyhow::{Context, ensure};
use secrecy::{ExposeSecret, SecretString};
use std::{
    fs,
    path::{Path, PathBuf},
};
use url::Url;

const MYSQL: &str = "mysql://USER@HOST:PORT/NAME";

/// The sources of the URL and its password.
#[derive(Clone, Debug)]
pub struct DatabaseUrl {
    /// The setting that contains the URL.
    pub setting: &'static str,
    file: Option<Source>,
    /// The URL if there is no file.
    url: SecretString,
    password_file: Option<Source>,
}

/// A file that a setting names.
#[derive(Clone, Debug)]
struct Source {
    setting: &'static str,
    what: &'static str,
    path: PathBuf,
    /// The content, unless the file is regular: a pipe can be read only once.
    kept: Option<SecretString>,
}

impl DatabaseUrl {
    /// # Errors
    /// If one of the files is not a regular file and cannot be read.
    pub fn new(
        url: Option<&SecretString>,
        file: Option<&Path>,
        password_file: Option<&Path>,
    ) -> anyhow::Result<Self> {
        let source = |setting, path: Option<&Path>, what| {
            path.map(|path| Source::new(setting, path.to_owned(), what)).transpose()
        };
        let file = source("DATABASE_URL_FILE", file, "the database URL")?;
        Ok(Self {
            setting: file.as_ref().map_or("DATABASE_URL", |file| file.setting),
            file,
            url: url.cloned().unwrap_or_else(|| "sqlite://chat.db".into()),
            password_file: source("DATABASE_PASSWORD_FILE", password_file, "the password")?,
        })
    }

    /// The files that are read again on each call of [`Self::read`].
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let sources = self.file.iter().chain(&self.password_file);
        sources.filter(|source| source.kept.is_none()).map(|source| source.path.as_path())
    }

    /// Returns the URL with its password, from the current content of the files.
    ///
    /// # Errors
    /// If a file cannot be read or is empty, or the URL cannot take the password.
    pub fn read(&self) -> anyhow::Result<SecretString> {
        let url = match &self.file {
            Some(file) => file.read()?,
            None => self.url.clone(),
        };
        // Shells and editors add white space around a URL.
        let url = url.expose_secret().trim();
        match &self.password_file {
            Some(file) => with_password(self.setting, url, file.read()?.expose_secret()),
            None => Ok(url.into()),
        }
    }
}

impl Source {
    fn new(setting: &'static str, path: PathBuf, what: &'static str) -> anyhow::Result<Self> {
        let mut source = Self { setting, what, path, kept: None };
        if fs::metadata(&source.path).is_ok_and(|it| !it.is_file()) {
            source.kept = Some(source.read_file()?);
        }
        Ok(source)
    }

    /// Returns the content, which must not be empty.
    fn read(&self) -> anyhow::Result<SecretString> {
        if let Some(kept) = &self.kept {
            return Ok(kept.clone());
        }
        let is_other = fs::metadata(&self.path).is_ok_and(|it| !it.is_file());
        let (setting, file) = (self.setting, self.path.display());
        ensure!(!is_other, "{setting}: {file} is no longer a regular file");
        self.read_file()
    }

    fn read_file(&self) -> anyhow::Result<SecretString> {
        let Self { setting, what, .. } = self;
        let file = self.path.display();
        let content = setting::read(&self.path)
            .with_context(|| format!("{setting}: cannot read {file}, which must hold {what}"))?;
        let content = String::from_utf8(content).ok();
        let content = content
            .with_context(|| format!("{setting}: {file} is not UTF-8 and must hold {what}"))?;
        ensure!(!content.trim().is_empty(), "{setting}: {file} is empty and must hold {what}");
        Ok(content.into())
    }
}

/// Removes newlines at the end, which editors add; the images of MySQL do the same.
fn with_password(setting: &str, url: &str, password: &str) -> anyhow::Result<SecretString> {
    let password = password.trim_end_matches(['\r', '\n']);
    let at = format!("DATABASE_PASSWORD_FILE: {setting}");
    let url = Url::parse(url).ok();
    let mut url = url.with_context(|| format!("{at} is not a valid URL, such as {MYSQL}"))?;
    ensure!(url.password().is_none(), "{at} has a password already; leave one of them out");
    ensure!(!url.username().is_empty(), "{at} names no user; it must be {MYSQL}");
    // `set_password` encodes all other characters, but treats `%` as the start of an encoded byte.
    let placed = url.set_password(Some(&password.replace('%', "%25")));
    ensure!(placed.is_ok(), "{at} names no host; it must be {MYSQL}");
    Ok(String::from(url).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use clap::Parser;
    use std::io::Write;

    #[test]
    fn a_password_is_not_printed() {
        let config = Config::parse_from(["chat-server", "--database-url", "mysql://u:geheim@h/d"]);
        assert!(!format!("{config:?}").contains("geheim"));
        let url = config.database_url().unwrap();
        assert!(!format!("{url:?}").contains("geheim"));
        assert!(url.read().unwrap().expose_secret().contains("geheim"));
    }

    #[test]
    fn a_password_file_fills_the_gap_in_the_url_whatever_it_holds() {
        let url = |url: &str, password: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(password.as_bytes()).unwrap();
            let path = file.path().to_str().unwrap();
            let flags = ["--database-url", url, "--database-password-file", path];
            let config = Config::parse_from(["chat-server"].iter().chain(&flags));
            config.database_url().unwrap().read().map(|it| Url::parse(it.expose_secret()).unwrap())
        };
        let filled = url("mysql://chat@db/chat?ssl-mode=REQUIRED", " p@ss/w:rd?%41ö \r\n").unwrap();
        assert_eq!(filled.password(), Some("%20p%40ss%2Fw%3Ard%3F%2541%C3%B6%20"));
        assert_eq!((filled.username(), filled.query()), ("chat", Some("ssl-mode=REQUIRED")));
        let refused = [
            ("mysql://chat:old@db/chat", "secret", "has a password already"),
            ("mysql://db/chat", "secret", "names no user"),
            ("sqlite://chat.db", "secret", "names no user"),
            ("no url", "secret", "not a valid URL"),
            ("mysql://chat@db/chat", "\n", "is empty"),
        ];
        for (database_url, password, expected) in refused {
            let error = url(database_url, password).unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("secret"), "{error}");
        }
    }
}
