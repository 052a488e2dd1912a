//! The server as a process of its own, with its log.

use crate::harness::{PATIENCE, client, eventually, fetch};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::{
    fs,
    future::ready,
    process::Stdio,
    sync::{Arc, Mutex},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    time::timeout,
};

pub struct Process {
    pub url: String,
    log: Arc<Mutex<Vec<Value>>>,
    child: Child,
    /// The folder of that file.
    _folder: TempDir,
}

impl Process {
    /// Starts it on a free port, which it writes to a file.
    pub async fn start(flags: &[&str]) -> Self {
        Self::start_with(flags, &[]).await
    }

    /// The same with variables in its environment.
    pub async fn start_with(flags: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = command(flags);
        command.envs(environment.iter().copied());
        Self::spawn(command).await
    }

    /// The same after a shell has done something, such as `ulimit`.
    pub async fn start_after(shell: &str, flags: &[&str]) -> Self {
        let mut command = without_settings(Command::new("sh"));
        let script = format!("{shell}; exec \"$0\" \"$@\"");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_chat-server")]).args(flags);
        Self::spawn(command).await
    }

    async fn spawn(mut command: Command) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let address = folder.path().join("address");
        let mut child = command
            .env("LISTEN_ADDR", "127.0.0.1:0")
            .args(["--log-format", "json", "--address-file"])
            .arg(&address)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let log: Arc<Mutex<Vec<Value>>> = Arc::default();
        // Its log must go on being read, or it would wait for a reader.
        let kept = Arc::clone(&log);
        tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                kept.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        eventually("the server listens", || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "{ended:?}: {:?}", log.lock().unwrap());
            // What it has logged until then has been read as well.
            let is_told = |line: &Value| line["message"].to_string().contains("Page: ");
            ready(address.exists() && log.lock().unwrap().iter().any(is_told))
        })
        .await;
        let url = format!("http://{}", fs::read_to_string(&address).unwrap().trim());
        Self { url, log, child, _folder: folder }
    }

    /// Starts one for its migrations only.
    pub async fn migrate(flags: &[&str]) {
        let server = Self::start(flags).await;
        server.wait_until_ready().await;
        server.stop().await;
    }

    pub async fn wait_until_ready(&self) {
        self.wait_for_status("/readyz", 200).await;
    }

    pub async fn wait_for_status(&self, path: &str, status: u16) {
        eventually(&format!("{path} answers {status}"), || async {
            fetch(format!("{}{path}", self.url)).await.is_ok_and(|r| r.status() == status)
        })
        .await;
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        client().request(method, format!("{}{path}", self.url))
    }

    pub fn post(&self, user: &str, text: &str) -> RequestBuilder {
        self.request(Method::POST, "/message").json(&json!({ "user": user, "text": text }))
    }

    pub async fn text(&self, path: &str) -> String {
        fetch(format!("{}{path}", self.url)).await.unwrap().text().await.unwrap()
    }

    pub async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.text(path).await).unwrap()
    }

    /// The lines of the log so far.
    pub fn log(&self) -> Vec<Value> {
        self.log.lock().unwrap().clone()
    }

    pub async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args([signal, &id]).status().await.unwrap().success());
    }

    /// Changes how large its files may become, in bytes.
    pub async fn set_file_limit(&self, limit: &str) {
        let id = self.child.id().expect("it runs").to_string();
        let arguments = ["--pid", &id, &format!("--fsize={limit}")];
        assert!(Command::new("prlimit").args(arguments).status().await.unwrap().success());
    }

    /// `kill -9`.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, and the end.
    pub async fn stop(self) {
        self.signal("-TERM").await;
        assert_eq!(self.exit_code().await, Some(0));
    }

    /// What a command says in the network that the process is in, and whether it succeeds.
    pub async fn in_its_network(&self, flags: &[&str]) -> (bool, String) {
        let mut enter = without_settings(Command::new("nsenter"));
        enter.args(["--preserve-credentials", "--user", "--net", "--target"]);
        enter.arg(self.child.id().expect("it runs").to_string());
        let output = enter.arg(env!("CARGO_BIN_EXE_chat-server")).args(flags).output().await;
        let output = output.unwrap();
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.success(), said)
    }

    pub async fn exit_code(mut self) -> Option<i32> {
        timeout(PATIENCE, self.child.wait()).await.expect("it stops").unwrap().code()
    }

    pub fn address(&self) -> &str {
        self.url.trim_start_matches("http://")
    }
}

pub fn command(flags: &[&str]) -> Command {
    let mut command = without_settings(Command::new(env!("CARGO_BIN_EXE_chat-server")));
    command.args(flags);
    command
}

fn without_settings(mut command: Command) -> Command {
    command.kill_on_drop(true);
    // Only what a test says counts, not what is set around it.
    for setting in crate::tidy::settings() {
        command.env_remove(setting);
    }
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("OTEL_")) {
        command.env_remove(name);
    }
    command
}
