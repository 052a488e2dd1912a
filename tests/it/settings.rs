//! What the real binary says about settings that cannot be used: one line of the log that names the
//! setting, the value and what is right, and no password.

use crate::{
    documented,
    harness::PATIENCE,
    process::{Process, command},
    tidy,
};
use serde_json::Value;
use std::{collections::BTreeSet, ffi::OsStr, os::unix::ffi::OsStrExt};
use tokio::time::timeout;

/// The path of a file that holds neither a certificate nor a key.
macro_rules! no_pem {
    () => {
        concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")
    };
}

const ADDRESS: &str = "such as 127.0.0.1:8081, [::1]:8081, localhost:8081, or :8081";
const PUBLIC: &str = "must be http://HOST or https://HOST, with an optional path, such as https";
const TIME: &str = "with its unit, such as 500ms, 10s or 2m";
const TIME_OR_NONE: &str = "with its unit, such as 0s, 500ms, 10s or 2m";
const FILTER: &str = "such as warn,chat_server=debug";
const MYSQL: &str = "mysql://USER:PASSWORD@HOST:PORT/NAME";
const SQLITE: &str = "such as sqlite://chat.db";

/// Setting, wrong values, and the essence of what is said about each of them.
const WRONG: [(&str, &[&str], &str); 22] = [
    ("LISTEN_ADDR", &["here", "-1", "8081", "[::1]", "http://localhost:80"], ADDRESS),
    (
        "LISTEN_ADDR",
        &["localhost:99999", ":x", "0.0.0.0:-1", "h:+80"],
        "the port is not from 0 to 65535",
    ),
    ("LISTEN_ADDR", &["nosuch.invalid:80"], "the host is unknown; must be HOST:PORT"),
    ("OPS_ADDR", &["here", "-1", ":99999", "::1:80"], ADDRESS),
    ("ADDRESS_FILE", &["/nowhere/address", "/tmp", "/dev/null/address"], ": cannot write /"),
    (
        "PUBLIC_URL",
        &["here", "/chat", "ftp://h/", "http://", "http://u@h", "http://h?a", "http://h/'"],
        PUBLIC,
    ),
    ("DATABASE_URL_FILE", &["/nowhere", "-1", "/tmp", "no url"], "must hold the database URL"),
    ("DATABASE_PASSWORD_FILE", &["/nowhere", "-1", "/tmp", "word"], "must hold the password"),
    (
        "DATABASE_MAX_CONNECTIONS",
        &["ten", "-1", "0", "10001", "10k"],
        "a whole number from 1 to 10000, such as 10",
    ),
    ("MIGRATE", &["yes", "-1", "AUTO", "auto,off"], "[possible values: auto, only, off]"),
    ("REQUEST_TIMEOUT", &["ten", "-5s", "2days", "10", "10 potatoes", "0s"], TIME),
    ("HEADER_TIMEOUT", &["ten", "-5s", "2days", "10", "0s"], TIME),
    ("IDLE_TIMEOUT", &["ten", "-5s", "2days", "10", "0s"], TIME),
    (
        "MAX_CONNECTIONS",
        &["many", "-1", "0", "1000001", "10k"],
        "a whole number from 1 to 1000000, such as 10000",
    ),
    (
        "MAX_BODY_BYTES",
        &["big", "-1", "0", "4GiB", "1 potato"],
        "1 to 4294967295 bytes, such as 1048576, 500kB, 1MB or 1MiB",
    ),
    (
        "WRITE_QUEUE",
        &["long", "-1", "0", "1000001", "4k"],
        "a whole number from 1 to 1000000, such as 4096",
    ),
    ("SHUTDOWN_DELAY", &["ten", "-5s", "2days", "10"], TIME_OR_NONE),
    ("SHUTDOWN_DELAY", &["30s", "1h"], "SHUTDOWN_TIMEOUT, which includes it, is 30s"),
    ("SHUTDOWN_TIMEOUT", &["ten", "-5s", "2days", "10"], TIME_OR_NONE),
    ("APDEX_T", &["fast", "-5s", "2days", "500", "0s"], TIME),
    ("LOG_FORMAT", &["xml", "-1", "JSON", "json,pretty"], "values: auto, json, pretty]"),
    ("RUST_LOG", &["verbose", "-1", "a=b=c", "info,chat_server=loud", "info,"], FILTER),
];

/// Database URLs, whose value is shown only where it cannot hold a password.
const WRONG_URLS: [(&str, &str); 49] = [
    ("chat.db", SQLITE),
    ("postgres://u:geheim@h/d", MYSQL),
    ("mysql://u:geheim@h", "it names no database; it is mysql://"),
    ("mysql://u:geheim@h/d/e", "its NAME has a slash; it is mysql://"),
    ("mysql://u:geheim@h/d/", "its NAME has a slash; it is mysql://"),
    ("mysql:d", "it names no host; it is mysql://"),
    ("mysql:///d", "it names no host; it is mysql://"),
    ("mysql://u:geheim@/d", "it names no host; it is mysql://"),
    ("mysql://:geheim@h/d", "it has a password, but names no user; it is mysql://"),
    ("mysql://u:geheim@h/d?socket=", "socket has no value; give it one, or leave it out"),
    ("mysql://u:geheim@h/d?charset", "charset has no value; give it one, or leave it out"),
    ("mysql://u:geheim@h:99999/d", "its port is not a number; it must be from 1 to 65535"),
    ("mysql://u:geheim@h:x/d", "its port is not a number; it must be from 1 to 65535"),
    ("mysql://u:geheim@h:-1/d", "its port is not a number; it must be from 1 to 65535"),
    ("mysql://u:geheim@h:0/d", "its port is 0; it must be from 1 to 65535, such as 3306"),
    ("mysql://u:ge/heim@h/d", "PASSWORD percent-encoded: invalid port number"),
    ("mysql://u:12/geheim@h/d", "PASSWORD percent-encoded"),
    ("mysql://u:99999/geheim@h/d", "PASSWORD percent-encoded"),
    ("mysql://u:12?geheim@h/d", "PASSWORD percent-encoded"),
    ("mysql://u:12/d#geheim@h/d", "PASSWORD percent-encoded"),
    ("mysql://u:geheim@a b/d", "PASSWORD percent-encoded: invalid"),
    ("mysql://u:%ff@h/d", "is not UTF-8 when its percent-encoding is undone"),
    ("mysql://u:geheim@h/d%00", "it has a NUL byte (%00)"),
    ("mysql://u:geheim@h/mysql", "it names mysql, which belongs to the database server"),
    ("mysql://u:geheim@h/d?sslmode=x", "sslmode=x is not known: it is DISABLED, PREFERRED"),
    ("mysql://u:geheim@h/d?ssl-mod=REQUIRED", "the parameter ssl-mod is not known: there are"),
    ("mysql://u:geheim@h/d?ssl-mode=REQUIRED&ssl-mode=DISABLED", "it has ssl-mode twice"),
    ("mysql://u:geheim@h/d?ssl-mode=REQUIRED&sslmode=DISABLED", "it has ssl-mode twice"),
    ("mysql://u:geheim@h/d?socket=a&socket=b", "it has socket twice; leave one out"),
    ("mysql://u:geheim@h/d?ssl-ca=/nowhere", "ssl-ca=/nowhere: cannot read the file"),
    ("mysql://u:geheim@h/d?ssl-ca=/dev/zero", "ssl-ca=/dev/zero is not a regular file"),
    (concat!("mysql://u:geheim@h/d?ssl-ca=", no_pem!()), "Cargo.toml: the file holds no certif"),
    ("mysql://u:geheim@h/d?ssl-cert=/nowhere", "ssl-cert=/nowhere: cannot read the file"),
    (concat!("mysql://u:geheim@h/d?ssl-key=", no_pem!()), "Cargo.toml: the file holds no private"),
    ("mysql://u:geheim@h/d?statement-cache-capacity=-1", "capacity=-1 is not a whole number"),
    ("sqlite://", "sqlite:// names no file; it is sqlite://FILE"),
    ("sqlite::memory:", "sqlite::memory: is an in-memory database"),
    ("sqlite://%3Amemory:", "has a name with a meaning of its own in SQLite"),
    ("sqlite://file:chat.db", "has a name with a meaning of its own in SQLite"),
    ("sqlite://chat.db?mode=memory", "sqlite://chat.db?mode=memory is an in-memory database"),
    ("sqlite://chat.db?mode=ro", "sqlite://chat.db?mode=ro opens the file for reading only"),
    ("sqlite://chat.db?mode=rw", "sqlite://chat.db?mode=rw does not create the file; leave"),
    ("sqlite://chat.db?vfs=x", "sqlite://chat.db?vfs=x: vfs=x is not known"),
    ("sqlite://chat.db?foo=1", "sqlite://chat.db?foo=1: foo=1 is not known"),
    ("sqlite://%ff", "sqlite://%ff is not UTF-8"),
    ("sqlite://chat.db%00", "sqlite://chat.db%00 has a NUL byte (%00)"),
    ("sqlite://chat.db/", "sqlite://chat.db/ ends with a slash, as a directory does; name a file"),
    ("sqlite://chat.db%2F", "ends with a slash, as a directory does; name a file"),
    ("sqlite:chat.db/", "ends with a slash, as a directory does; name a file"),
];

/// What it says before it ends, all of it.
async fn said(environment: &[(&str, &str)]) -> String {
    let mut command = command(&[]);
    command.env("LISTEN_ADDR", "127.0.0.1:0").envs(environment.iter().copied());
    let output = timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{environment:?}: {text}");
    assert!(!text.contains("geheim"), "{text}");
    text
}

/// The last line that it says, from which it must be clear why it ends.
pub async fn last_words(environment: &[(&str, &str)]) -> String {
    let text = said(environment).await;
    let lines: Result<Vec<Value>, _> = text.lines().map(serde_json::from_str).collect();
    let lines = lines.unwrap_or_else(|_| panic!("not JSON lines: {text}"));
    let last = lines.last().unwrap_or_else(|| panic!("{environment:?}: nothing was said"));
    assert_eq!(last["level"], "ERROR", "{text}");
    last["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_wrong_value_is_named_with_its_setting_and_what_is_right() {
    for (setting, values, expected) in WRONG {
        for value in values {
            let message = last_words(&[(setting, value)]).await;
            assert!(message.contains(setting), "{setting}={value}: {message}");
            assert!(message.contains(value), "{setting}={value}: {message}");
            let right = message.contains(expected);
            // A file that cannot be read and one that is empty read differently.
            assert!(right, "{setting}={value}: {message}");
        }
    }
    for (url, expected) in WRONG_URLS {
        let message = last_words(&[("DATABASE_URL", url)]).await;
        assert!(message.starts_with("DATABASE_URL: "), "{url}: {message}");
        assert!(message.contains(expected), "{url}: {message}");
    }
    let tried = WRONG.iter().map(|(setting, ..)| *setting).chain(["DATABASE_URL"]);
    let tried: BTreeSet<_> = tried.map(str::to_owned).collect();
    assert_eq!(tried, tidy::settings().into_iter().collect());
}

#[tokio::test]
async fn the_password_of_a_wrong_url_is_not_shown() {
    for password in ["geheim", "ge/heim", "geh@im"] {
        let message = last_words(&[("PUBLIC_URL", &format!("http://u:{password}@h"))]).await;
        assert!(message.contains("'http://***@h'") && message.contains(PUBLIC), "{message}");
    }
}

#[tokio::test]
async fn a_wrong_flag_is_a_wrong_value_even_when_it_is_negative_or_nothing() {
    for value in ["-1", ""] {
        let output = command(&["--write-queue", value]).output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains("for '--write-queue <WRITE_QUEUE>'"), "{value:?}: {said}");
    }
}

#[tokio::test]
async fn a_variable_that_is_set_to_nothing_counts_as_not_set() {
    // The health check finds out by the same settings where to ask, and listens nowhere itself.
    for setting in tidy::settings() {
        let asked = command(&["healthcheck"]).env(&setting, "").output().await.unwrap();
        let said = String::from_utf8(asked.stderr).unwrap();
        assert!(!said.contains(&setting) && !said.contains("invalid value"), "{setting}: {said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let names = [tidy::settings(), documented::variables_of_otlp()].concat().join("= ");
    let shell = format!("cd {} && export {names}=", folder.path().display());
    let server = Process::start_after(&shell, &["--listen-addr", "127.0.0.1:0"]).await;
    server.wait_until_ready().await;
    assert!(folder.path().join("chat.db").exists(), "the default of DATABASE_URL");
    let warnings: Vec<_> =
        server.log().into_iter().filter(|line| line["level"] == "WARN").collect();
    assert_eq!(warnings, Vec::<Value>::new());
}

#[tokio::test]
async fn a_value_that_is_not_utf8_is_named_by_its_setting() {
    let said = async |mut command: tokio::process::Command, code| {
        let output = timeout(PATIENCE, command.output()).await.expect("it ends").unwrap();
        assert_eq!(output.status.code(), Some(code));
        String::from_utf8(output.stderr).unwrap()
    };
    let wrong = OsStr::from_bytes(b"\xff");
    for setting in tidy::settings() {
        let mut command = command(&[]);
        command.env(&setting, wrong);
        let message = said(command, 2).await;
        // Of a word that is one of a few, clap itself says what is right.
        let is_named = message.contains(&format!("the value of {setting} is not UTF-8"))
            || message.contains(&format!("<{setting}>' [possible values: "));
        assert!(is_named, "{message}");
    }
    for (flags, expected) in [
        (&[b"--database-url".as_slice(), b"geheim\xff"][..], "the value of --database-url is"),
        (&[b"--database-url=geheim\xff"], "the value of --database-url is not UTF-8"),
        (&[b"--migrate", b"auto", b"--log=\xff"], "the value of --log is not UTF-8"),
    ] {
        let mut command = command(&[]);
        command.args(flags.iter().map(|flag| OsStr::from_bytes(flag)));
        let message = said(command, 2).await;
        assert!(message.contains(expected) && !message.contains("geheim"), "{message}");
    }
    // A collector is not worth ending for.
    let mut command = command(&["--listen-addr", "127.0.0.1:0", "--database-url", "no url"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", wrong);
    let message = said(command, 1).await;
    let expected = "OTEL_EXPORTER_OTLP_ENDPOINT: its value is not UTF-8 and is ignored";
    assert!(message.contains(expected), "{message}");
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let message = last_words(&[("LISTEN_ADDR", &taken)]).await;
    assert!(message.contains(&format!("LISTEN_ADDR: cannot listen on {taken}")), "{message}");
}

#[tokio::test]
async fn what_ends_the_process_looks_like_the_rest_of_the_log() {
    let wrong = [("WRITE_QUEUE", "0"), ("DATABASE_URL", "chat.db")];
    for wrong in wrong {
        // Whatever is logged, and wherever the format is set.
        let json = last_words(&[wrong, ("LOG_FORMAT", "json"), ("RUST_LOG", "off")]).await;
        assert!(json.contains(wrong.0), "{json}");
        let pretty = said(&[wrong, ("LOG_FORMAT", "pretty")]).await;
        let last = pretty.lines().last().unwrap();
        assert!(last.contains(" ERROR ") && last.contains(wrong.0), "{pretty}");
    }
    for flags in [["--log-format", "pretty"].as_slice(), &["--log-format=pretty"]] {
        let output = command(flags).env("WRITE_QUEUE", "0").output().await.unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(said.contains(" ERROR ") && said.contains("WRITE_QUEUE"), "{said}");
    }
}

#[tokio::test]
async fn the_setting_that_holds_the_url_is_the_one_that_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    std::fs::write(&file, "mysql://u:geheim@h").unwrap();
    let message = last_words(&[("DATABASE_URL_FILE", file.to_str().unwrap())]).await;
    assert!(message.starts_with("DATABASE_URL_FILE: it names no database"), "{message}");
}
