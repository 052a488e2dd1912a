//! Every setting. Flags and environment variables are the same thing; `--help` is the manual.

use anyhow::Context;
use clap::{Parser, Subcommand, ValueEnum, builder::RangedI64ValueParser};
use secrecy::{ExposeSecret, SecretString};
use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};
use url::Url;

/// A small chat server: people post short messages, everyone reads the latest ones.
///
/// Without any setting it listens on port 8081 and keeps its messages in the file chat.db.
#[derive(Debug, Parser)]
#[expect(clippy::doc_markdown, reason = "these comments are the text of --help, not Markdown")]
#[command(version, about, long_about, max_term_width = 100)]
pub struct Config {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Address and port to serve on. Port 0 takes any free port
    #[arg(long, env, default_value = "0.0.0.0:8081")]
    pub listen_addr: SocketAddr,

    /// Address and port for the operations endpoints (/livez, /readyz, /version, /metrics, /stats,
    /// /dashboard), which then leave the public port, so that nobody outside sees them
    #[arg(long, env)]
    pub ops_addr: Option<SocketAddr>,

    /// sqlite://FILE, or mysql://USER:PASSWORD@HOST:PORT/NAME for MySQL and MariaDB. The database
    /// is created when it is absent. TLS by ?ssl-mode=VERIFY_IDENTITY&ssl-ca=FILE
    /// [default: sqlite://chat.db]
    #[arg(long, env, hide_env_values = true)]
    pub database_url: Option<SecretString>,

    /// File that holds the database URL, so that its password stands in no environment
    #[arg(long, env, conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,

    /// File that holds the password of the database's user, which the URL then leaves out: so the
    /// database and this server can read the same secret
    #[arg(long, env)]
    pub database_password_file: Option<PathBuf>,

    /// Most connections to the database. Four of them are for posts, shared reads and watching; the
    /// others are for requests with a query of their own. More do not make it faster, and it has a
    /// limit for all servers together
    #[arg(long, env, default_value = "10", value_parser = clap::value_parser!(u32).range(5..=10_000))]
    pub database_max_connections: u32,

    /// What to do about the database's schema
    #[arg(long, env, default_value = "auto")]
    pub migrate: Migrate,

    /// How long one request may take, its body and the database included. Then: 408 or 504
    #[arg(long, env, default_value = "10s", value_parser = duration)]
    pub request_timeout: Duration,

    /// How long the head of a request may take from its first byte to its last
    #[arg(long, env, default_value = "5s", value_parser = duration)]
    pub header_timeout: Duration,

    /// How long a connection may stay open without a request, or without reading its answer. Longer
    /// than the 60 s of common load balancers, which would otherwise meet connections that just
    /// closed
    #[arg(long, env, default_value = "75s", value_parser = duration)]
    pub idle_timeout: Duration,

    /// The maximum number of connections from clients. Further clients get 503 overloaded. Fewer
    /// where the system allows fewer open files (ulimit -n)
    #[arg(long, env, default_value = "10000", value_parser = up_to(1_000_000))]
    pub max_connections: u32,

    /// Most bytes of a request's body. The default holds the longest text even if each of its
    /// characters is written as JSON escapes (12 bytes)
    #[arg(long, env, default_value = "1048576", value_parser = up_to(i64::from(u32::MAX)))]
    pub max_body_bytes: u32,

    /// Most posts that may wait for the database at once. The ones beyond it are refused (503
    /// overloaded)
    #[arg(long, env, default_value = "4096", value_parser = up_to(1_000_000))]
    pub write_queue: u32,

    /// How long to go on serving after SIGTERM while /readyz already says no. In Kubernetes about
    /// 5s, until all nodes have heard that this replica is going
    #[arg(long, env, default_value = "0s", value_parser = duration_or_none)]
    pub shutdown_delay: Duration,

    /// How long stopping may take in all, the delay included. What is not finished then is cut off
    #[arg(long, env, default_value = "30s", value_parser = duration_or_none)]
    pub shutdown_timeout: Duration,

    /// T of Apdex: who is answered within it is satisfied, within four times it is tolerating. A
    /// bound of the response times at /metrics
    #[arg(long, env, default_value = "500ms", value_parser = duration)]
    pub apdex_t: Duration,

    /// How the log looks
    #[arg(long, env, default_value = "auto")]
    pub log_format: LogFormat,

    /// Which lines are logged: a level, or a filter such as info,chat_server=debug
    #[arg(long = "log", env = "RUST_LOG", default_value = "info")]
    pub log_filter: String,
}

/// The longest time that can be set. What is meant to be longer is meant to be something else.
const DURATION_MAX: Duration = Duration::from_hours(24);

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Command {
    /// Ask the server with the same settings on this machine whether it is ready; exit with 0 or 1
    Healthcheck,
    /// Print the OpenAPI document as JSON and exit
    Openapi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Migrate {
    /// Create the database and bring its schema up to date, then serve
    Auto,
    /// Do that and exit, for a job that runs before the servers
    Only,
    /// Change nothing; not ready until somebody else has migrated
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere
    Auto,
    /// One JSON object a line
    Json,
    /// For people
    Pretty,
}

impl Config {
    /// The database URL from wherever it is set, with its password.
    ///
    /// # Errors
    /// When a file cannot be read or is empty, or its password has no place in the URL.
    pub fn database_url(&self) -> anyhow::Result<SecretString> {
        let url = match (&self.database_url_file, &self.database_url) {
            (Some(path), _) => content("DATABASE_URL_FILE", path)?.trim().into(),
            (None, Some(url)) if !url.expose_secret().is_empty() => url.clone(),
            (None, _) => "sqlite://chat.db".into(),
        };
        match &self.database_password_file {
            Some(path) => with_password(&url, path),
            None => Ok(url),
        }
    }
}

/// What stands in the file, which nobody would leave empty on purpose.
fn content(setting: &str, path: &Path) -> anyhow::Result<String> {
    let content = fs::read_to_string(path)
        .with_context(|| format!("{setting}: cannot read {}", path.display()))?;
    anyhow::ensure!(!content.trim().is_empty(), "{setting}: {} is empty", path.display());
    Ok(content)
}

/// Newlines at the end are the editor's, as the images of MySQL see it too.
fn with_password(url: &SecretString, path: &Path) -> anyhow::Result<SecretString> {
    let password = content("DATABASE_PASSWORD_FILE", path)?;
    let password = password.trim_end_matches('\n');
    let mut url =
        Url::parse(url.expose_secret()).ok().context("DATABASE_URL is not a valid URL")?;
    anyhow::ensure!(
        url.password().is_none(),
        "DATABASE_PASSWORD_FILE: DATABASE_URL has a password already"
    );
    anyhow::ensure!(
        !url.username().is_empty(),
        "DATABASE_PASSWORD_FILE: DATABASE_URL names no user"
    );
    // The rest is encoded there, but percent signs are taken for the work of somebody before.
    let placed = url.set_password(Some(&password.replace('%', "%25")));
    anyhow::ensure!(placed.is_ok(), "DATABASE_PASSWORD_FILE: DATABASE_URL has no host");
    Ok(String::from(url).into())
}

fn up_to(max: i64) -> RangedI64ValueParser<u32> {
    clap::value_parser!(u32).range(1..=max)
}

fn duration(text: &str) -> Result<Duration, String> {
    match duration_or_none(text)? {
        Duration::ZERO => Err("it must be more than nothing".into()),
        duration => Ok(duration),
    }
}

fn duration_or_none(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text).map_err(|error| error.to_string())? {
        duration if duration > DURATION_MAX => Err("it may be up to a day".into()),
        duration => Ok(duration),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::io::Write;

    #[test]
    fn the_command_line_is_well_formed() {
        Config::command().debug_assert();
    }

    #[test]
    fn a_password_is_not_printed() {
        let config = Config::parse_from(["chat-server", "--database-url", "mysql://u:geheim@h/d"]);
        assert!(!format!("{config:?}").contains("geheim"));
        assert!(config.database_url().unwrap().expose_secret().contains("geheim"));
    }

    #[test]
    fn a_password_file_fills_the_gap_in_the_url_whatever_it_holds() {
        let url = |url: &str, password: &str| {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(password.as_bytes()).unwrap();
            let path = file.path().to_str().unwrap();
            let flags = ["--database-url", url, "--database-password-file", path];
            let config = Config::parse_from(["chat-server"].iter().chain(&flags));
            config.database_url().map(|url| Url::parse(url.expose_secret()).unwrap())
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
