//! Files that settings name, where they are pipes, devices or something else than plain text.

use crate::{
    harness::{PATIENCE, TestDatabase, eventually},
    process::{Process, command},
    settings::last_words,
};
use std::{
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Command as SyncCommand, Stdio},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    time::timeout,
};

/// The setting that does not end, and others that it needs.
type Setting = (&'static str, &'static [(&'static str, &'static str)]);

/// All settings whose file is read by this server.
const READ: [Setting; 3] = [
    ("DATABASE_URL_FILE", &[]),
    ("DATABASE_PASSWORD_FILE", &[("DATABASE_URL", "mysql://u@h/d")]),
    ("OTEL_EXPORTER_OTLP_CERTIFICATE", &[("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost:1")]),
];

/// A named pipe in a folder of its own.
fn pipe() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe");
    assert!(SyncCommand::new("mkfifo").arg(&pipe).status().unwrap().success());
    (folder, pipe)
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test]
async fn a_pipe_to_which_nothing_writes_ends_the_start_and_is_named() {
    let (_folder, pipe) = pipe();
    let ends = READ.map(|(setting, others)| {
        let environment = [others, &[(setting, text(&pipe))]].concat();
        async move { (setting, last_words(&environment).await) }
    });
    for (setting, message) in futures_util::future::join_all(ends).await {
        assert!(message.starts_with(&format!("{setting}: ")), "{message}");
        assert!(message.contains(text(&pipe)), "{message}");
        assert!(message.ends_with("it did not end within 10s"), "{message}");
    }
}

#[tokio::test]
async fn a_signal_ends_a_start_that_waits_for_a_pipe() {
    let (_folder, pipe) = pipe();
    for (setting, others) in READ {
        let mut command = command(&[]);
        command.env("LISTEN_ADDR", "127.0.0.1:0").env(setting, &pipe);
        let mut waiting = command.envs(others.iter().copied()).spawn().unwrap();
        let id = waiting.id().unwrap().to_string();
        // It has opened the pipe when that can be opened for writing.
        let mut options = tokio::fs::OpenOptions::new();
        let opened = options.write(true).open(&pipe);
        let _writer = timeout(PATIENCE, opened).await.expect("it reads").unwrap();
        assert!(SyncCommand::new("kill").args(["-TERM", &id]).status().unwrap().success());
        let ended = timeout(PATIENCE, waiting.wait()).await.expect("it ends").unwrap();
        assert_eq!(ended.signal(), Some(15), "{setting}");
    }
}

#[tokio::test]
async fn what_comes_through_a_pipe_is_waited_for_and_used() {
    let database = TestDatabase::new();
    let mut command = command(&["--database-url-file", "/dev/stdin", "--log-format", "json"]);
    command.env("LISTEN_ADDR", "127.0.0.1:0");
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    let mut server = command.spawn().unwrap();
    let mut input = server.stdin.take().unwrap();
    input.write_all(database.url.as_str().as_bytes()).await.unwrap();
    drop(input);
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let is_ready = async {
        while let Some(line) = lines.next_line().await.unwrap() {
            if line.contains("The database is ready") {
                return;
            }
        }
        panic!("it ended");
    };
    timeout(PATIENCE, is_ready).await.expect("it gets ready");

    let (_folder, pipe) = pipe();
    let written = tokio::fs::write(pipe.clone(), database.url.as_str().to_owned());
    let flags = ["--database-url-file", text(&pipe)];
    let (server, written) = tokio::join!(Process::start(&flags), written);
    written.unwrap();
    server.wait_until_ready().await;
    server.stop().await;
}

#[tokio::test]
async fn a_file_without_an_end_or_without_text_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let binary = folder.path().join("binary");
    std::fs::write(&binary, [0xff, 0xfe]).unwrap();
    for (file, expected) in [("/dev/zero", "it has more than 1 MiB"), (text(&binary), "not UTF-8")]
    {
        for (setting, others) in &READ[..2] {
            let message = last_words(&[others, &[(*setting, file)][..]].concat()).await;
            assert!(message.starts_with(&format!("{setting}: ")), "{message}");
            assert!(message.contains(file) && message.contains(expected), "{message}");
        }
    }
}

#[tokio::test]
async fn a_certificate_that_each_connection_reads_is_no_pipe_and_is_not_given_in_vain() {
    let (folder, pipe) = pipe();
    for parameter in ["ssl-ca", "ssl-cert", "ssl-key"] {
        let url = format!("mysql://u:geheim@h/d?{parameter}={}", pipe.display());
        let message = last_words(&[("DATABASE_URL", &url)]).await;
        let expected = format!("{parameter}={} is not a regular file", pipe.display());
        assert!(message.contains(&expected), "{message}");
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = folder.path().join("ca.pem");
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    let url = format!("mysql://u:geheim@127.0.0.1:1/d?ssl-ca={}", certificate.display());
    for mode in ["", "&ssl-mode=REQUIRED"] {
        let message = last_words(&[("DATABASE_URL", &format!("{url}{mode}"))]).await;
        assert!(message.contains("ssl-ca has no effect without ssl-mode=VERIFY"), "{message}");
    }
    let server = Process::start(&["--database-url", &format!("{url}&ssl-mode=VERIFY_CA")]).await;
    eventually("the database is waited for", || async {
        server.json("/readyz").await["checks"][0]["reason"] == "unreachable"
    })
    .await;
}
