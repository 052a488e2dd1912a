//! Passwords and addresses that change while the server runs: it reads the files of its settings
//! again.

use crate::{
    harness::{TestDatabase, client, connect_mysql, eventually},
    process::Process,
};
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Executor, MySqlConnection};
use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::{task::JoinHandle, time::sleep};

/// A server whose password is in a file.
struct Rotation {
    database: TestDatabase,
    root: MySqlConnection,
    user: String,
    folder: TempDir,
    server: Process,
}

impl Rotation {
    async fn start() -> Self {
        let database = TestDatabase::new();
        let user = database.url.path().trim_start_matches('/').to_owned();
        let mut url = database.url.clone();
        url.set_path("");
        let mut root = connect_mysql(&url).await.unwrap();
        for statement in [
            format!("create user '{user}'@'%' identified by 'geheim 0'"),
            format!("grant all on `{user}`.* to '{user}'@'%'"),
        ] {
            root.execute(AssertSqlSafe(statement)).await.unwrap();
        }
        url.set_path(&user);
        url.set_username(&user).unwrap();
        url.set_password(None).unwrap();
        let folder = tempfile::tempdir().unwrap();
        replace(&folder.path().join("password"), "geheim 0\n");
        let file = folder.path().join("password").display().to_string();
        let flags = ["--database-url", url.as_str(), "--database-password-file", &file];
        let server = Process::start(&flags).await;
        server.wait_until_ready().await;
        Self { database, root, user, folder, server }
    }

    async fn change_password(&mut self, number: usize, addition: &str) -> bool {
        let Self { user, root, .. } = self;
        let sql = format!("alter user '{user}'@'%' identified by 'geheim {number}' {addition}");
        root.execute(AssertSqlSafe(sql)).await.is_ok()
    }

    fn write_password(&self, number: usize) {
        replace(&self.folder.path().join("password"), &format!("geheim {number}\n"));
    }

    async fn kill_connections(&mut self) {
        let query = "select cast(id as signed) from information_schema.processlist where user = ?";
        let query = sqlx::query_scalar(query).bind(&self.user);
        let ids: Vec<i64> = query.fetch_all(&mut self.root).await.unwrap();
        for id in ids {
            // It may have ended by itself.
            let _ = self.root.execute(AssertSqlSafe(format!("kill {id}"))).await;
        }
    }

    /// How often the log says that the password has changed.
    fn told(&self) -> usize {
        let is_told = |line: &&Value| line["message"].to_string().contains("have changed");
        self.server.log().iter().filter(is_told).count()
    }

    /// Ends the test: what was acknowledged is stored, and no secret is in the log.
    async fn check(self, load: Load) -> usize {
        let (acknowledged, failed) = load.end().await;
        let mut database = connect_mysql(&self.database.url).await.unwrap();
        for text in &acknowledged {
            let query = sqlx::query_scalar("select count(*) from messages where text = ?");
            let found: i64 = query.bind(text).fetch_one(&mut database).await.unwrap();
            assert_eq!(found, 1, "{text} was acknowledged");
        }
        assert!(acknowledged.len() > 20, "only {} posts", acknowledged.len());
        let log = self.server.log();
        assert!(!log.iter().any(|line| line.to_string().contains("geheim")), "{log:?}");
        failed
    }
}

/// As editors and the kubelet do it.
pub fn replace(file: &PathBuf, content: &str) {
    let new = file.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, file).unwrap();
}

/// Posts and reads without a pause.
struct Load {
    is_over: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<(Vec<String>, usize)>>,
}

impl Load {
    fn start(server: &Process) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let client = client();
        let task = |number: usize| {
            let (client, url, is_over) = (client.clone(), server.url.clone(), Arc::clone(&is_over));
            tokio::spawn(async move {
                let (mut acknowledged, mut failed) = (Vec::new(), 0);
                for round in 0.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let text = format!("{number}/{round}");
                    let post = client.post(format!("{url}/message"));
                    let post = post.json(&json!({ "user": "bob", "text": text }));
                    let read = client.get(format!("{url}/users?after=a"));
                    let status = post.send().await.unwrap().status();
                    if status == 201 {
                        acknowledged.push(text);
                    }
                    let is_read = read.send().await.unwrap().status() == 200;
                    failed += usize::from(status != 201) + usize::from(!is_read);
                    sleep(Duration::from_millis(20)).await;
                }
                (acknowledged, failed)
            })
        };
        let tasks = (0..8).map(task).collect();
        Self { is_over, tasks }
    }

    async fn end(self) -> (Vec<String>, usize) {
        self.is_over.store(true, Ordering::Relaxed);
        let (mut acknowledged, mut failed) = (Vec::new(), 0);
        for task in self.tasks {
            let (texts, failures) = task.await.unwrap();
            acknowledged.extend(texts);
            failed += failures;
        }
        (acknowledged, failed)
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn a_password_that_is_changed_in_the_database_and_then_in_the_file_fails_no_request() {
    let mut rotation = Rotation::start().await;
    let load = Load::start(&rotation.server);
    for number in 1..=3 {
        assert!(rotation.change_password(number, "").await);
        // More reads at once than there are connections, which are refused now.
        let reads = (0..30).map(|_| rotation.server.text("/messages?before=1000000"));
        for page in futures_util::future::join_all(reads).await {
            assert!(page.contains("messages"), "{page}");
        }
        rotation.write_password(number);
        eventually("it is read", || async { rotation.told() == number }).await;
    }
    assert_eq!(rotation.check(load).await, 0, "requests failed");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn a_password_that_is_changed_with_all_connections_closed_needs_no_restart() {
    let mut rotation = Rotation::start().await;
    let load = Load::start(&rotation.server);
    for number in 1..=3 {
        assert!(rotation.change_password(number, "").await);
        rotation.kill_connections().await;
        eventually("the password is blamed", || async {
            rotation.server.json("/readyz").await["checks"][0]["reason"] == "access_denied"
        })
        .await;
        rotation.write_password(number);
        rotation.server.wait_until_ready().await;
        assert_eq!(rotation.server.post("bob", "hi").send().await.unwrap().status(), 201);
        assert_eq!(rotation.told(), number);
    }
    rotation.check(load).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn two_passwords_at_a_time_fail_no_request_even_when_connections_are_closed() {
    let mut rotation = Rotation::start().await;
    let load = Load::start(&rotation.server);
    for number in 1..=3 {
        if !rotation.change_password(number, "retain current password").await {
            // MariaDB has one.
            return;
        }
        rotation.kill_connections().await;
        rotation.write_password(number);
        eventually("it is read", || async { rotation.told() == number }).await;
        let discard = format!("alter user '{}'@'%' discard old password", rotation.user);
        rotation.root.execute(AssertSqlSafe(discard)).await.unwrap();
        rotation.kill_connections().await;
        sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(rotation.check(load).await, 0, "requests failed");
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_file_of_the_url_may_lead_to_another_database() {
    let (old, new) = (TestDatabase::new(), TestDatabase::new());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    replace(&file, old.url.as_str());
    let server = Process::start(&["--database-url-file", file.to_str().unwrap()]).await;
    server.wait_until_ready().await;
    for user in ["bob", "eve"] {
        assert_eq!(server.post(user, "before").send().await.unwrap().status(), 201);
    }
    // What cannot be used changes nothing.
    let is_told =
        |text: &'static str| server.log().iter().any(|line| line.to_string().contains(text));
    for (wrong, reason) in [("mysql://", "names no host"), ("no url geheim", "it is no URL")] {
        replace(&file, wrong);
        eventually("it is told", || async { is_told(reason) }).await;
    }
    assert!(is_told("the settings of before are used") && !is_told("geheim"));
    assert_eq!(server.post("bob", "still before").send().await.unwrap().status(), 201);

    replace(&file, new.url.as_str());
    eventually("it is empty", || async { server.json("/messages").await["messages"] == json!([]) })
        .await;
    let after: Value = server.post("bob", "after").send().await.unwrap().json().await.unwrap();
    assert_eq!(after["id"], 1);
    assert_eq!(server.json("/users").await["users"], json!(["bob"]));
    assert_eq!(old.count_messages().await, 3);
    assert!(is_told("The database has changed from"));
    assert!(!is_told("ERROR"), "{:?}", server.log());

    replace(&file, "mysql://u@127.0.0.1:1/d");
    eventually("the reason is told at once", || async { is_told("refused (os error") }).await;
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_url_of_which_the_database_refuses_a_part_fails_no_request() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    replace(&file, database.url.as_str());
    let server = Process::start(&["--database-url-file", file.to_str().unwrap()]).await;
    server.wait_until_ready().await;
    let mut wrong = database.url.clone();
    wrong.query_pairs_mut().append_pair("charset", "foo");
    replace(&file, wrong.as_str());
    eventually("it is read", || async {
        server.log().iter().any(|line| line["message"].to_string().contains("have changed"))
    })
    .await;
    // More at once than there are open connections.
    let reads = (0..40).map(|_| reqwest::get(format!("{}/messages?before=9", server.url)));
    for response in futures_util::future::join_all(reads).await {
        assert_eq!(response.unwrap().status(), 200);
    }
    let checks = server.json("/readyz").await;
    assert!(checks.to_string().contains("refuses a part of the URL"), "{checks}");
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_user_who_is_refused_is_named_before_a_new_connection_is_needed() {
    let database = TestDatabase::new();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    replace(&file, database.url.as_str());
    let flags = ["--database-url-file", file.to_str().unwrap(), "--database-max-connections", "2"];
    let server = Process::start(&flags).await;
    server.wait_until_ready().await;
    let warnings = async || server.json("/readyz").await["checks"][0]["warnings"].to_string();
    let mut wrong = database.url.clone();
    wrong.set_username("nosuch").unwrap();
    replace(&file, wrong.as_str());
    let refused = "refuses new connections (access_denied)";
    eventually("it is named", async || warnings().await.contains(refused)).await;
    let lines = || server.log().iter().filter(|line| line.to_string().contains(refused)).count();
    eventually("the log names it", async || lines() == 1).await;
    assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
    replace(&file, database.url.as_str());
    eventually("all is well", async || warnings().await == "null").await;
    assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
}
