//! What becomes of clients and probes when the system allows the process few open files.

use crate::{
    harness::{PATIENCE, TestDatabase, eventually, fetch, read_to_end},
    process::{Process, command},
};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

const OPEN_FILES: [u32; 2] = [64, 200];

impl Process {
    /// How many connections the server says it serves instead of `MAX_CONNECTIONS`.
    fn max_connections(&self) -> usize {
        let log = self.log();
        let told: Vec<_> = log.iter().filter_map(|line| line.get("max_connections")).collect();
        assert_eq!(told.len(), 1, "one line says it: {log:?}");
        usize::try_from(told[0].as_u64().unwrap()).unwrap()
    }

    /// Asks on a connection of its own; returns the connection and the beginning of the response.
    async fn ask(&self, path: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = [0; 12];
        let read = timeout(PATIENCE, stream.read_exact(&mut bytes)).await;
        read.expect("the server responds").unwrap();
        (stream, String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Opens connections that stay open, until one is refused as documented.
    async fn take_all_places(&self) -> Vec<TcpStream> {
        let mut taken = Vec::new();
        loop {
            let (mut stream, status) = self.ask("/users").await;
            if status == "HTTP/1.1 200" {
                taken.push(stream);
                continue;
            }
            assert_eq!(status, "HTTP/1.1 503");
            let rest = read_to_end(&mut stream).await;
            assert!(rest.contains("\"code\":\"overloaded\""), "{rest}");
            assert!(rest.contains("retry-after: 1"), "{rest}");
            // A connection of the test's own preparations may have been open still.
            if taken.len() == self.max_connections() {
                return taken;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Connects more often than there are files, and says nothing.
    async fn crowd(&self) -> Vec<TcpStream> {
        let mut silent = Vec::new();
        for _ in 0..300 {
            silent.push(TcpStream::connect(self.address()).await.unwrap());
        }
        silent
    }

    fn assert_that_files_sufficed(&self) {
        for line in self.log() {
            let message = line["message"].as_str().unwrap();
            let cause = line["cause"].as_str().unwrap_or_default();
            assert!(!message.starts_with("Cannot accept"), "{line}");
            assert!(!cause.to_lowercase().contains("too many open files"), "{line}");
        }
    }
}

#[tokio::test]
async fn the_operations_port_responds_when_clients_have_taken_every_place() {
    for files in OPEN_FILES {
        let database = TestDatabase::new();
        let flags = ["--database-url", database.url.as_str(), "--ops-addr", "127.0.0.1:0"];
        let server = Process::start_after(&format!("ulimit -n {files}"), &flags).await;
        let health = || {
            let log = server.log();
            let line =
                log.iter().find_map(|line| line["message"].as_str()?.strip_prefix("Health: "));
            line.map(str::to_owned)
        };
        eventually("the log says where to ask", || async { health().is_some() }).await;
        let ready = health().unwrap();
        eventually("ready", || async { fetch(&ready).await.is_ok_and(|it| it.status() == 200) })
            .await;

        let _taken = server.take_all_places().await;
        let _silent = server.crowd().await;
        for path in ["readyz", "livez", "metrics", "stats"] {
            let response = fetch(ready.replace("readyz", path)).await.unwrap();
            assert_eq!(response.status(), 200, "{files} {path}");
        }
        let unanswered = || async {
            let metrics = fetch(ready.replace("readyz", "metrics")).await.unwrap();
            let metrics = metrics.text().await.unwrap();
            let name = "chat_server_connections_unanswered_total ";
            let line = metrics.lines().find_map(|line| line.strip_prefix(name));
            line.is_some_and(|count| count != "0")
        };
        eventually("those who got no response are counted", unanswered).await;
        let line = |line: &serde_json::Value| line["message"].to_string().contains("Closed a conn");
        eventually("the log says so", || async { server.log().iter().any(line) }).await;
        server.assert_that_files_sufficed();
    }
}

#[tokio::test]
async fn on_the_only_port_a_client_without_a_place_is_told_so_and_probes_see_the_process_live() {
    for files in OPEN_FILES {
        let database = TestDatabase::new();
        let flags = ["--database-url", database.url.as_str()];
        let server = Process::start_after(&format!("ulimit -n {files}"), &flags).await;
        server.wait_until_ready().await;

        let mut taken = server.take_all_places().await;
        for _ in 0..10 {
            assert_eq!(server.ask("/livez").await.1, "HTTP/1.1 200");
            assert_eq!(server.ask("/readyz").await.1, "HTTP/1.1 503");
        }
        // The ones that are in are served, by the database as well.
        let body = r#"{"user":"bob","text":"hi"}"#;
        let post = format!(
            "POST /message HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
             connection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = taken.pop().unwrap();
        stream.write_all(post.as_bytes()).await.unwrap();
        let response = read_to_end(&mut stream).await;
        assert!(response.contains("HTTP/1.1 201"), "{response}");
        server.assert_that_files_sufficed();
    }
}

#[tokio::test]
async fn fewer_files_than_a_server_needs_end_the_start_with_what_to_do() {
    let database = TestDatabase::new();
    let mut limited = tokio::process::Command::new("sh");
    limited
        .args(["-c", "ulimit -n 50 && exec \"$0\" \"$@\""])
        .arg(command(&[]).as_std().get_program());
    limited.args(["--listen-addr", "127.0.0.1:0", "--database-url", database.url.as_str()]);
    let output = timeout(PATIENCE, limited.output()).await.expect("it ends").unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("50 open files, but it needs 64"), "{said}");
    assert!(said.contains("ulimit -n") && said.contains("DATABASE_MAX_CONNECTIONS"), "{said}");
}
