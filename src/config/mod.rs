//! Every setting. Each has a flag and an environment variable; `--help` is the manual.

mod database_url;

pub mod setting;

pub use database_url::DatabaseUrl;
pub use setting::PublicUrl;

use clap::{
    Arg, Command as Flags, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
    error::{ContextKind, ContextValue, Error, ErrorKind},
};
use secrecy::SecretString;
use setting::{address, bytes, count, duration, duration_or_none, file, log_filter, public_url};
use std::{env, ffi::OsStr, net::SocketAddr, path::PathBuf, time::Duration};

/// A small chat server: people post short messages, everyone reads the latest ones.
///
/// Without any setting it listens on port 8081 and keeps its messages in the file chat.db.
#[derive(Debug, Parser)]
#[expect(clippy::doc_markdown, reason = "these comments are the text of --help, not Markdown")]
#[command(version, about, long_about, max_term_width = 100)]
pub struct Config {
    #[command(subcommand)]
    pub command: Option<Command>,

    /// Address and port to listen on, such as 127.0.0.1:8081, localhost:8081 or :8081. Without a
    /// host, or with [::], the server listens on every IPv6 and IPv4 address of the machine. Port 0
    /// picks a free port
    #[arg(long, env, default_value = "[::]:8081", value_parser = address)]
    pub listen_addr: SocketAddr,

    /// Address and port for the operations endpoints (/livez, /readyz, /version, /metrics, /stats,
    /// /dashboard). When set, the public port no longer serves them
    #[arg(long, env, value_parser = address)]
    pub ops_addr: Option<SocketAddr>,

    /// File to which the server writes its address as HOST:PORT when it listens. For scripts that
    /// start a server on port 0
    #[arg(long, env, value_parser = file)]
    pub address_file: Option<PathBuf>,

    /// The URL at which clients reach the server, such as https://example.org/chat. Used in the
    /// examples on the start page and in the OpenAPI document
    #[arg(long, env, value_parser = public_url)]
    pub public_url: Option<PublicUrl>,

    /// sqlite://FILE, or mysql://USER:PASSWORD@HOST:PORT/NAME for MySQL and MariaDB. A missing
    /// database is created. For TLS, add ?ssl-mode=VERIFY_IDENTITY&ssl-ca=FILE
    /// [default: sqlite://chat.db]
    #[arg(long, env, hide_env_values = true)]
    pub database_url: Option<SecretString>,

    /// File that contains the database URL, to keep the password out of the environment. The server
    /// reads the file again when it changes
    #[arg(long, env, value_parser = file, conflicts_with = "database_url")]
    pub database_url_file: Option<PathBuf>,

    /// File that contains the database user's password, for a URL without one. The server reads the
    /// file again when it changes
    #[arg(long, env, value_parser = file)]
    pub database_password_file: Option<PathBuf>,

    /// The maximum number of connections to the database. Four are for posts, shared reads and
    /// health checks; the others are for requests that need a query of their own. One connection
    /// can serve everything, slowly. More than ten bring no speed, and the connections of all
    /// replicas must fit the database's own limit
    #[arg(long, env, default_value = "10", value_parser = count(1..=10_000, 10))]
    pub database_max_connections: u32,

    /// Whether the server changes the database's schema
    #[arg(long, env, default_value = "auto")]
    pub migrate: Migrate,

    /// The maximum duration of a request, including its body and the database. Longer requests get
    /// 408 or 504
    #[arg(long, env, default_value = "10s", value_parser = duration)]
    pub request_timeout: Duration,

    /// The maximum time from the first to the last byte of a request's head
    #[arg(long, env, default_value = "5s", value_parser = duration)]
    pub header_timeout: Duration,

    /// How long a connection may stay open without a request, or without reading its response. Keep
    /// it longer than the load balancer's own timeout (usually 60s): otherwise the load balancer
    /// sends requests on connections that have just been closed
    #[arg(long, env, default_value = "75s", value_parser = duration)]
    pub idle_timeout: Duration,

    /// The maximum number of client connections. Further clients get 503 overloaded. The number is
    /// lower where the system allows fewer open files (ulimit -n)
    #[arg(long, env, default_value = "10000", value_parser = count(1..=1_000_000, 10_000))]
    pub max_connections: u32,

    /// The maximum size of a request's body, such as 1048576, 500kB or 1MiB. The default fits the
    /// longest text even when every character is sent as JSON escapes (12 bytes)
    #[arg(long, env, default_value = "1048576", value_parser = bytes)]
    pub max_body_bytes: u32,

    /// The maximum number of posts that wait for the database. Further posts get 503 overloaded
    #[arg(long, env, default_value = "4096", value_parser = count(1..=1_000_000, 4_096))]
    pub write_queue: u32,

    /// How long the server keeps serving after SIGTERM while /readyz already returns 503. On
    /// Kubernetes use about 5s, the time until no node sends requests to this replica. Must be
    /// shorter than SHUTDOWN_TIMEOUT
    #[arg(long, env, default_value = "0s", value_parser = duration_or_none)]
    pub shutdown_delay: Duration,

    /// The maximum duration of a shutdown, including SHUTDOWN_DELAY. Requests that take longer are
    /// cut off
    #[arg(long, env, default_value = "30s", value_parser = duration_or_none)]
    pub shutdown_timeout: Duration,

    /// The Apdex threshold T: a response within T counts as satisfied, within 4 T as tolerating.
    /// It is also a bucket bound of the response times at /metrics
    #[arg(long, env, default_value = "500ms", value_parser = duration)]
    pub apdex_t: Duration,

    /// The format of the log
    #[arg(long, env, default_value = "auto")]
    pub log_format: LogFormat,

    /// Which lines to log: a level, or a filter such as warn,chat_server=debug
    #[arg(
        long = "log",
        env = "RUST_LOG",
        value_name = "RUST_LOG",
        default_value = "warn,chat_server=info",
        value_parser = log_filter
    )]
    pub log_filter: String,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub enum Command {
    /// Check whether the server with the same settings on this machine is ready; exit with 0 or 1
    Healthcheck,
    /// Print the OpenAPI document as JSON and exit
    Openapi,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Migrate {
    /// Create the database and bring its schema up to date, then serve
    Auto,
    /// Do the same and exit, for a job that runs before the servers start
    Only,
    /// Change nothing, and stay not ready until another process has migrated
    Off,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Pretty on a terminal, otherwise JSON
    Auto,
    /// One JSON object per line
    Json,
    /// For people
    Pretty,
}

impl Config {
    /// Returns the database URL, parts of which may be in files.
    ///
    /// # Errors
    /// If one of the files is not a regular file and cannot be read.
    pub fn database_url(&self) -> anyhow::Result<DatabaseUrl> {
        DatabaseUrl::new(
            self.database_url.as_ref(),
            self.database_url_file.as_deref(),
            self.database_password_file.as_deref(),
        )
    }

    /// Returns the settings of this process.
    ///
    /// # Errors
    /// If one of them is invalid, or for `--help` and `--version`.
    pub fn load() -> Result<Self, Error> {
        // Treats a negative number as an invalid value, not as an unknown flag.
        let flags = Self::command().mut_args(|argument| argument.allow_hyphen_values(true));
        let mut flags = flags.mut_args(without_empty_variable);
        let matches = flags.try_get_matches_from_mut(env::args_os());
        let matches = matches.map_err(|error| match error.kind() {
            ErrorKind::InvalidUtf8 => flags.error(error.kind(), not_utf8(&flags)),
            _ => without_password(error),
        })?;
        let config = Self::from_arg_matches(&matches)?;
        let (delay, timeout) = (config.shutdown_delay, config.shutdown_timeout);
        if !delay.is_zero() && delay >= timeout {
            let [delay, timeout] = [delay, timeout].map(humantime::format_duration);
            let conflict = format!(
                "SHUTDOWN_DELAY is {delay} and SHUTDOWN_TIMEOUT, which includes it, is {timeout}: \
                 the delay must be shorter, such as 5s and 30s"
            );
            return Err(flags.error(ErrorKind::ValueValidation, conflict));
        }
        Ok(config)
    }
}

/// An empty variable counts as not set, because compose files pass empty ones.
fn without_empty_variable(argument: Arg) -> Arg {
    let variable = argument.get_env().and_then(env::var_os);
    if variable.is_some_and(|value| value.is_empty()) { argument.env(None) } else { argument }
}

/// Removes the user and the password from the error if the invalid value is a URL with both.
fn without_password(mut error: Error) -> Error {
    let Some(ContextValue::String(value)) = error.get(ContextKind::InvalidValue) else {
        return error;
    };
    if let Some((before, host)) = value.rsplit_once('@')
        && let Some((scheme, user)) = before.split_once("://")
        && user.contains(':')
    {
        let shown = format!("{scheme}://***@{host}");
        error.insert(ContextKind::InvalidValue, ContextValue::String(shown));
    }
    error
}

/// Names the flag or variable that is not UTF-8, which clap does not. The value may be a secret.
fn not_utf8(flags: &Flags) -> String {
    let mut before = None;
    for word in env::args_os() {
        let shown = word.to_string_lossy();
        let flag = shown.split('=').next().filter(|flag| flag.starts_with("--")).map(str::to_owned);
        if word.to_str().is_none() {
            let flag = flag.or(before).unwrap_or_else(|| "an argument".to_owned());
            return format!("the value of {flag} is not UTF-8");
        }
        before = flag;
    }
    let is_wrong = |name: &&OsStr| env::var_os(name).is_some_and(|value| value.to_str().is_none());
    let setting = flags.get_arguments().filter_map(Arg::get_env).find(is_wrong);
    format!("the value of {} is not UTF-8", setting.unwrap_or_default().display())
}

impl LogFormat {
    /// The format of the error that reports a wrong setting.
    pub fn of_process() -> Self {
        let command = Config::command();
        let argument = command.get_arguments().filter(|argument| argument.get_id() == "log_format");
        let argument = argument.cloned().map(without_empty_variable);
        let words = env::args_os().map(|word| word.to_string_lossy().into_owned());
        let flag = words.skip_while(|word| !word.starts_with("--log-format")).take(2);
        let words = [env!("CARGO_PKG_NAME").to_owned()].into_iter().chain(flag);
        let flags = Flags::new(env!("CARGO_PKG_NAME")).ignore_errors(true).args(argument);
        let matches = flags.try_get_matches_from(words).ok();
        let format = matches.as_ref().and_then(|matches| matches.get_one("log_format"));
        format.copied().unwrap_or(Self::Auto)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Config::command().debug_assert();
    }
}
