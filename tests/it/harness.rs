//! A real server on a free port with a database of its own, and one method for each thing tests do
//! with it.

use chat_server::{
    app::{self, Listeners},
    config::Config,
};
use clap::Parser;
use prometheus::Registry;
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use sqlx::{
    AssertSqlSafe, ConnectOptions, Connection, Executor, MySqlConnection, SqliteConnection,
    mysql::{MySqlConnectOptions, MySqlSslMode},
};
use std::{future::Future, net::SocketAddr, path::Path, time::Duration};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use url::Url;

/// How long a test waits for something that must happen. Generous, because it costs only failing
/// tests.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// A database that belongs to one test. It does not exist until a server creates it.
pub struct TestDatabase {
    pub url: Url,
    /// The folder of an SQLite file.
    folder: Option<TempDir>,
}

impl TestDatabase {
    /// On the server that `TEST_DATABASE_URL` names, or SQLite.
    pub fn new() -> Self {
        match database_server() {
            Some(mut url) => {
                url.set_path(&format!("test_{:016x}", fastrand::u64(..)));
                Self { url, folder: None }
            }
            None => Self::sqlite(),
        }
    }

    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", folder.path().join("chat.db").display());
        Self { url: url.parse().unwrap(), folder: Some(folder) }
    }

    /// The SQLite file.
    pub fn path(&self) -> &Path {
        Path::new(self.url.path())
    }

    /// Runs one statement beside the server.
    pub async fn execute(&self, sql: &str) -> sqlx::Result<()> {
        let sql = AssertSqlSafe(sql.to_owned());
        if self.folder.is_some() {
            SqliteConnection::connect(self.url.as_str()).await?.execute(sql).await.map(drop)
        } else {
            connect_mysql(&self.url).await?.execute(sql).await.map(drop)
        }
    }

    /// Keeps everybody else from writing to the SQLite file until the connection says `rollback`.
    pub async fn lock(&self) -> SqliteConnection {
        let mut connection = SqliteConnection::connect(self.url.as_str()).await.unwrap();
        connection.execute("begin immediate").await.unwrap();
        connection
    }

    /// How many messages there are, however they came there.
    pub async fn count_messages(&self) -> usize {
        self.count("select count(*) from messages").await
    }

    /// What a query counts.
    pub async fn count(&self, sql: &'static str) -> usize {
        let count: i64 = if self.folder.is_some() {
            let mut connection = SqliteConnection::connect(self.url.as_str()).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
        } else {
            let mut connection = connect_mysql(&self.url).await.unwrap();
            sqlx::query_scalar(sql).fetch_one(&mut connection).await.unwrap()
        };
        count.try_into().unwrap()
    }

    /// Drops the database of a server.
    pub async fn drop_database(&self) {
        let mut server = self.url.clone();
        server.set_path("");
        let drop_it = format!("drop database {}", self.url.path().trim_start_matches('/'));
        let mut connection = connect_mysql(&server).await.unwrap();
        connection.execute(AssertSqlSafe(drop_it)).await.unwrap();
    }
}

/// A connection beside the server's. Without TLS, because the oldest MySQL of the tests has no
/// cipher that rustls supports.
pub async fn connect_mysql(url: &Url) -> sqlx::Result<MySqlConnection> {
    let options: MySqlConnectOptions = url.as_str().parse()?;
    options.ssl_mode(MySqlSslMode::Disabled).connect().await
}

/// The database server to test against, if one is given.
#[expect(clippy::disallowed_methods, reason = "a setting of the tests, not of the server")]
pub fn database_server() -> Option<Url> {
    std::env::var("TEST_DATABASE_URL").ok().map(|url| url.parse().unwrap())
}

/// A server in this process.
pub struct TestApp {
    pub address: SocketAddr,
    pub ops_address: Option<SocketAddr>,
    pub client: Client,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl TestApp {
    /// Starts a server on a database of its own and waits until it is ready.
    pub async fn start() -> (Self, TestDatabase) {
        let database = TestDatabase::new();
        (Self::start_on(&database).await, database)
    }

    pub async fn start_on(database: &TestDatabase) -> Self {
        Self::start_with(database, &[]).await
    }

    pub async fn start_with(database: &TestDatabase, flags: &[&str]) -> Self {
        let app = Self::launch(database.url.as_str(), flags).await;
        app.wait_until_ready().await;
        app
    }

    /// Starts a server and waits until its port is open.
    pub async fn launch(url: &str, flags: &[&str]) -> Self {
        let app = Self::begin(url, flags);
        let is_open = || async { TcpStream::connect(app.address).await.is_ok() };
        eventually("the port opens", is_open).await;
        app
    }

    /// Starts a server and waits for nothing.
    pub fn begin(url: &str, flags: &[&str]) -> Self {
        let fixed = ["chat-server", "--listen-addr", "127.0.0.1:0", "--database-url", url];
        let config = Config::parse_from(fixed.iter().chain(flags));
        let url = config.database_url().unwrap();
        let listeners = Listeners::bind(&config).unwrap();
        let (address, ops_address) = (listeners.public_addr().unwrap(), listeners.ops_addr());
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(async move {
            app::run(&config, &url, listeners, &Registry::new(), async { drop(stopped.await) })
                .await
        });
        Self { address, ops_address, client: client(), stop: Some(stop), task }
    }

    pub async fn wait_until_ready(&self) {
        self.wait_for_status("/readyz", 200).await;
    }

    /// Asks for a path until it answers with a status.
    pub async fn wait_for_status(&self, path: &str, status: u16) {
        eventually(&format!("{path} answers {status}"), || async {
            self.get(path).await.status() == status
        })
        .await;
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.unwrap()
    }

    pub async fn get_json(&self, path: &str) -> Value {
        let response = self.get(path).await;
        assert_eq!(response.status(), 200, "GET {path}");
        response.json().await.unwrap()
    }

    /// Posts any JSON.
    pub fn post_json(&self, body: &Value) -> RequestBuilder {
        self.request(Method::POST, "/message").json(body)
    }

    pub fn post(&self, user: &str, text: &str) -> RequestBuilder {
        self.post_json(&json!({ "user": user, "text": text }))
    }

    /// Posts a message that must be taken, and returns it.
    pub async fn say(&self, user: &str, text: &str) -> Value {
        let response = self.post(user, text).send().await.unwrap();
        assert_eq!(response.status(), 201);
        response.json().await.unwrap()
    }

    /// The latest messages, the newest first.
    pub async fn messages(&self) -> Vec<Value> {
        let body = self.get_json("/messages").await;
        body["messages"].as_array().unwrap().clone()
    }

    /// Sends bytes on a connection of their own and reads until the server closes it.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await
    }

    /// Asks the server to stop, and waits until it has.
    pub async fn stop(mut self) {
        drop(self.stop.take());
        timeout(PATIENCE, &mut self.task).await.unwrap().unwrap().unwrap();
    }

    /// Asks the server to stop without waiting.
    pub fn begin_to_stop(&mut self) {
        drop(self.stop.take());
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client. The library wants to be told which cryptography it may use, whether it does or not.
pub fn client() -> Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    Client::new()
}

/// A GET on a connection of its own.
pub async fn fetch(url: impl reqwest::IntoUrl) -> reqwest::Result<Response> {
    client().get(url).send().await
}

/// Reads what comes until the other side closes or resets the connection.
pub async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server closes");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Repeats a check until it holds; fails the test when it never does.
pub async fn eventually<F: Future<Output = bool>>(what: &str, mut check: impl FnMut() -> F) {
    let end = Instant::now() + PATIENCE;
    while !check().await {
        assert!(Instant::now() < end, "this never happened: {what}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// The body of an error, after checks of what all errors have in common.
pub async fn problem(response: Response) -> Value {
    let status = response.status().as_u16();
    let headers = response.headers().clone();
    assert_eq!(headers["content-type"], "application/problem+json", "status {status}");
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["referrer-policy"], "no-referrer");
    assert_eq!(headers["cache-control"], "no-store");
    let body: Value = response.json().await.unwrap();
    assert_eq!(body["status"], status);
    assert_eq!(body["error"], true);
    assert_eq!(body["trace_id"], headers["x-request-id"].to_str().unwrap());
    let code = body["code"].as_str().unwrap();
    assert!(body["type"].as_str().unwrap().ends_with(&format!("docs/errors.md#{code}")));
    assert!(!body["title"].as_str().unwrap().is_empty());
    assert!(!body["detail"].as_str().unwrap().is_empty());
    body
}

/// Sends a request that must fail, and returns its status and code.
pub async fn refusal(request: RequestBuilder) -> (u16, String) {
    let body = problem(request.send().await.unwrap()).await;
    let status = u16::try_from(body["status"].as_u64().unwrap()).unwrap();
    (status, body["code"].as_str().unwrap().to_owned())
}
