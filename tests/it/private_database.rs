//! A database server of a test's own, which it can kill and whose global settings it can change.

use crate::harness::connect_mysql;
use sqlx::MySqlConnection;
use std::path::PathBuf;
use tokio::process::Command;
use url::Url;

pub struct PrivateDatabase {
    kind: String,
    pub folder: tempfile::TempDir,
    port: u16,
}

impl PrivateDatabase {
    #[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the server")]
    pub fn new() -> Self {
        let kind =
            std::env::var("TEST_DATABASE_KIND").expect("TEST_DATABASE_KIND, set by make test");
        // Below the ports that the system gives out, so that it stays free while the database is
        // down.
        let port = fastrand::u16(20_000..32_000);
        Self { kind, folder: tempfile::tempdir().unwrap(), port }
    }

    pub async fn run(&self, action: &str, arguments: &[&str]) {
        let done = Command::new(script())
            .args([&self.kind, action])
            .arg(self.folder.path())
            .args(arguments)
            .status()
            .await
            .unwrap();
        assert!(done.success(), "{action} failed");
    }

    pub fn url(&self) -> String {
        format!("mysql://root:secret@127.0.0.1:{}/chat", self.port)
    }

    /// A connection beside the server's, which names no database.
    pub async fn root(&self) -> MySqlConnection {
        let mut url: Url = self.url().parse().unwrap();
        url.set_path("");
        connect_mysql(&url).await.unwrap()
    }

    pub async fn start(&self) {
        self.start_with(&[]).await;
    }

    /// Starts it with these options beside its own ones.
    pub async fn start_with(&self, options: &[&str]) {
        let port = self.port.to_string();
        self.run("start", &[&[port.as_str()], options].concat()).await;
    }
}

impl Drop for PrivateDatabase {
    fn drop(&mut self) {
        let mut kill = std::process::Command::new(script());
        let _ = kill.args([&self.kind, "kill"]).arg(self.folder.path()).status();
    }
}

fn script() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/databases/private")
}
