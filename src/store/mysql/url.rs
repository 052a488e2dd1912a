//! Parses the URL of a MySQL database. Errors name the part that is wrong, but never its user and
//! password.

use crate::config::setting;
use anyhow::{Context, anyhow, bail, ensure};
use log::LevelFilter;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use sqlx::{
    ConnectOptions,
    mysql::{MySqlConnectOptions, MySqlDatabaseError, MySqlSslMode},
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};
use url::{ParseError, Position, Url};

pub const EXAMPLE: &str = "mysql://USER:PASSWORD@HOST:PORT/NAME";

const NOT_ENCODED: &str = "it is not mysql://USER:PASSWORD@HOST:PORT/NAME with the characters \
    /?#[]@:% of USER and PASSWORD percent-encoded";

const PORT: &str = "it must be from 1 to 65535, such as 3306";

const SYSTEM_DATABASES: [&str; 4] = ["mysql", "sys", "information_schema", "performance_schema"];

/// What a URL says.
#[derive(Clone, Debug)]
pub struct MySqlUrl {
    /// How to connect to the database.
    pub options: MySqlConnectOptions,
    /// The same server without a database, for creating it.
    pub server: MySqlConnectOptions,
    /// The files of certificates and of a key that it names.
    pub files: Vec<PemFile>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PemFile {
    parameter: String,
    pub path: PathBuf,
    content: Vec<u8>,
}

/// Reads a URL, and the files that it names.
///
/// # Errors
/// When a part of the URL cannot be used.
pub fn parse(url: &str) -> anyhow::Result<MySqlUrl> {
    let mut url = Url::parse(url).map_err(|error| complaint(url, error))?;
    // What follows such a character is no name of a database and no parameter, but the rest of the
    // password, which must not be shown.
    let is_encoded = !url[Position::BeforePath..].contains('@') && url.fragment().is_none();
    ensure!(is_encoded, NOT_ENCODED);
    let has_socket = url.query_pairs().any(|(name, _)| name == "socket");
    let host = url.host_str().unwrap_or_default();
    ensure!(!host.is_empty() || has_socket, "it names no host; it is {EXAMPLE}");
    let has_user = !url.username().is_empty() || url.password().is_none();
    ensure!(has_user, "it has a password, but names no user; it is {EXAMPLE}");
    ensure!(!url.as_str().contains("%00"), "it has a NUL byte (%00), which no part of it may have");
    ensure!(url.port() != Some(0), "its port is 0; {PORT}");
    let files = read_parameters(&url)?;
    ensure!(
        !url.path().trim_start_matches('/').contains('/'),
        "its NAME has a slash; it is {EXAMPLE}"
    );
    let options = connect_options(&url, &files)?;
    let database = options.get_database().unwrap_or_default();
    ensure!(!database.is_empty(), "it names no database; it is {EXAMPLE}");
    ensure!(
        !SYSTEM_DATABASES.contains(&database.to_ascii_lowercase().as_str()),
        "it names {database}, which belongs to the database server itself; use a name such as chat"
    );
    url.set_path("");
    let server = connect_options(&url, &files)?;
    Ok(MySqlUrl { options, server, files })
}

/// What is wrong with a URL that cannot be read at all. A part of it that looks like a port may be
/// one of the password, so it is not shown.
fn complaint(url: &str, error: ParseError) -> anyhow::Error {
    let authority = url.find("//").map_or(url, |start| &url[start + 2..]);
    let rest = authority.find(['/', '?', '#']).map_or("", |end| &authority[end..]);
    match error {
        _ if rest.contains('@') => anyhow!(error).context(NOT_ENCODED),
        ParseError::InvalidPort => anyhow!("its port is not a number; {PORT}"),
        ParseError::EmptyHost => anyhow!("it names no host; it is {EXAMPLE}"),
        error => anyhow!(error).context(NOT_ENCODED),
    }
}

/// What the database refuses of the URL, which no retry can change: a character set, a collation, a
/// time zone, or a name that is too long or not valid. Numbers as MySQL's reference lists them.
pub fn refusal(error: &sqlx::Error) -> Option<String> {
    let error = error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?;
    let is_refusal = matches!(error.number(), 1059 | 1102 | 1115 | 1253 | 1273 | 1298);
    is_refusal.then(|| format!("the database refuses a part of it: {error}"))
}

fn connect_options(url: &Url, files: &[PemFile]) -> anyhow::Result<MySqlConnectOptions> {
    let mut options: MySqlConnectOptions =
        url.as_str().parse().ok().context(
            "its USER, PASSWORD or NAME is not UTF-8 when its percent-encoding is undone",
        )?;
    // The URL's brackets are not part of an address of IPv6, which sqlx looks up and verifies.
    let host = options.get_host().trim_matches(['[', ']']).to_owned();
    options = options.host(&host);
    // Their text instead of their paths, so that a file is never read while it is replaced.
    for PemFile { parameter, content, .. } in files {
        options = match parameter.as_str() {
            "ssl-ca" => options.ssl_ca_from_pem(content.clone()),
            "ssl-cert" => options.ssl_client_cert_from_pem(content),
            _ => options.ssl_client_key_from_pem(content),
        };
    }
    // sqlx would log a slow statement as a whole, and a packet of messages holds their texts.
    let options = options.log_slow_statements(LevelFilter::Off, Duration::ZERO);
    // The server's own SQL mode is kept: some services refuse to change it.
    Ok(options.pipes_as_concat(false).no_engine_substitution(false))
}

/// A parameter that is misspelt would otherwise be left out, and with it TLS; of one that is there
/// twice, the first would be. Returns the files that are named.
fn read_parameters(url: &Url) -> anyhow::Result<Vec<PemFile>> {
    let (mut seen, mut files) = (Vec::new(), Vec::new());
    let mut verifies = false;
    for (name, value) in url.query_pairs() {
        let parameter = match &*name {
            "sslmode" => "ssl-mode",
            "sslca" => "ssl-ca",
            "sslcert" => "ssl-cert",
            "sslkey" => "ssl-key",
            "time-zone" => "timezone",
            name => name,
        };
        ensure!(!seen.iter().any(|it| it == parameter), "it has {parameter} twice; leave one out");
        seen.push(parameter.to_owned());
        match parameter {
            "ssl-mode" => {
                let mode = value.parse().ok().with_context(|| {
                    format!(
                        "{name}={value} is not known: \
                         it is DISABLED, PREFERRED, REQUIRED, VERIFY_CA or VERIFY_IDENTITY"
                    )
                })?;
                verifies = matches!(mode, MySqlSslMode::VerifyCa | MySqlSslMode::VerifyIdentity);
            }
            "ssl-ca" | "ssl-cert" | "ssl-key" => {
                let content = content(&name, &value)?;
                check_pem(parameter, &content).with_context(|| format!("{name}={value}"))?;
                let (parameter, path) = (parameter.to_owned(), PathBuf::from(&*value));
                files.push(PemFile { parameter, path, content });
            }
            "statement-cache-capacity" => ensure!(
                value.parse::<usize>().is_ok(),
                "{name}={value} is not a whole number, such as 100"
            ),
            "socket" | "charset" | "collation" | "timezone" => {
                ensure!(!value.is_empty(), "{name} has no value; give it one, or leave it out");
            }
            _ => bail!(
                "the parameter {name} is not known: there are ssl-mode, ssl-ca, ssl-cert, \
                 ssl-key, socket, charset, collation, timezone and statement-cache-capacity"
            ),
        }
    }
    let has = |parameter| seen.iter().any(|it| it == parameter);
    ensure!(
        has("ssl-cert") == has("ssl-key"),
        "ssl-cert and ssl-key go together, and one of them is missing"
    );
    ensure!(
        verifies || !has("ssl-ca"),
        "ssl-ca has no effect without ssl-mode=VERIFY_IDENTITY or VERIFY_CA"
    );
    Ok(files)
}

fn check_pem(parameter: &str, content: &[u8]) -> anyhow::Result<()> {
    if parameter == "ssl-key" {
        let key = PrivateKeyDer::from_pem_slice(content);
        return key.map(drop).ok().context("the file holds no private key in PEM format");
    }
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(content).collect();
    ensure!(
        certificates.is_ok_and(|certificates| !certificates.is_empty()),
        "the file holds no certificate in PEM format"
    );
    Ok(())
}

/// The file is read again later, which could not be done with a pipe.
fn content(name: &str, file: &str) -> anyhow::Result<Vec<u8>> {
    let cannot_read = || format!("{name}={file}: cannot read the file");
    let is_file = fs::metadata(file).with_context(cannot_read)?.is_file();
    ensure!(is_file, "{name}={file} is not a regular file, which could be read again");
    setting::read(Path::new(file)).with_context(cannot_read)
}
