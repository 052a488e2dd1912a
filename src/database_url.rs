//! The database URL, put together from the settings that hold it and its password.

use crate::{config::Config, setting};
use anyhow::{Context, ensure};
use secrecy::{ExposeSecret, SecretString};
use std::path::Path;
use url::Url;

const MYSQL: &str = "mysql://USER@HOST:PORT/NAME";

#[derive(Debug)]
pub struct DatabaseUrl {
    /// The setting that it comes from.
    pub setting: &'static str,
    /// With its password.
    pub url: SecretString,
}

impl DatabaseUrl {
    /// # Errors
    /// When a file cannot be read or is empty, or its password has no place in the URL.
    pub fn of(config: &Config) -> anyhow::Result<Self> {
        // What is around a URL is the shell's or the editor's.
        let (setting, url) = match (&config.database_url_file, &config.database_url) {
            (Some(path), _) => {
                let setting = "DATABASE_URL_FILE";
                (setting, content(setting, path, "the database URL")?.trim().into())
            }
            (None, Some(url)) => ("DATABASE_URL", url.expose_secret().trim().into()),
            (None, None) => ("DATABASE_URL", "sqlite://chat.db".into()),
        };
        let url = match &config.database_password_file {
            Some(path) => with_password(setting, &url, path)?,
            None => url,
        };
        Ok(Self { setting, url })
    }
}

/// The text of a file, which must not be empty.
fn content(setting: &str, path: &Path, what: &str) -> anyhow::Result<String> {
    let file = path.display();
    let content = setting::read(path)
        .with_context(|| format!("{setting}: cannot read {file}, which must hold {what}"))?;
    let content = String::from_utf8(content).ok();
    let content =
        content.with_context(|| format!("{setting}: {file} is not UTF-8 and must hold {what}"))?;
    ensure!(!content.trim().is_empty(), "{setting}: {file} is empty and must hold {what}");
    Ok(content)
}

/// Newlines at the end are the editor's, as the images of MySQL see it too.
fn with_password(setting: &str, url: &SecretString, path: &Path) -> anyhow::Result<SecretString> {
    let password = content("DATABASE_PASSWORD_FILE", path, "the password")?;
    let password = password.trim_end_matches('\n');
    let at = format!("DATABASE_PASSWORD_FILE: {setting}");
    let url = Url::parse(url.expose_secret()).ok();
    let mut url = url.with_context(|| format!("{at} is not a valid URL, such as {MYSQL}"))?;
    ensure!(url.password().is_none(), "{at} has a password already; leave one of them out");
    ensure!(!url.username().is_empty(), "{at} names no user; it must be {MYSQL}");
    // The rest is encoded there, but a percent sign is taken for one that begins an encoded byte.
    let placed = url.set_password(Some(&password.replace('%', "%25")));
    ensure!(placed.is_ok(), "{at} names no host; it must be {MYSQL}");
    Ok(String::from(url).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use std::io::Write;

    #[test]
    fn a_password_is_not_printed() {
        let config = Config::parse_from(["chat-server", "--database-url", "mysql://u:geheim@h/d"]);
        assert!(!format!("{config:?}").contains("geheim"));
        let url = DatabaseUrl::of(&config).unwrap();
        assert!(!format!("{url:?}").contains("geheim"));
        assert!(url.url.expose_secret().contains("geheim"));
    }

    #[test]
    fn a_password_file_fills_the_gap_in_the_url_whatever_it_holds() {
        let url = |url: &str, password: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(password.as_bytes()).unwrap();
            let path = file.path().to_str().unwrap();
            let flags = ["--database-url", url, "--database-password-file", path];
            let config = Config::parse_from(["chat-server"].iter().chain(&flags));
            DatabaseUrl::of(&config).map(|it| Url::parse(it.url.expose_secret()).unwrap())
        };
        let filled = url("mysql://chat@db/chat?ssl-mode=REQUIRED", " p@ss/w:rd?%41ö \n").unwrap();
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
