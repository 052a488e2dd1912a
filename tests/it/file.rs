//! What can happen to an SQLite file under the server. Always on SQLite.

use crate::{
    harness::{TestApp, TestDatabase, eventually, refusal},
    process::Process,
    settings::last_words,
};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};
use std::{collections::BTreeSet, process::Command};

#[tokio::test]
async fn a_file_that_is_deleted_is_created_again() {
    let database = TestDatabase::sqlite();
    let app = TestApp::start_on(&database).await;
    for round in 0..3 {
        app.say("bob", "before").await;
        std::fs::remove_file(database.path()).unwrap();
        if round == 2 {
            // Some people delete all that belongs to it.
            let _ = std::fs::remove_file(database.path().with_extension("db-wal"));
            let _ = std::fs::remove_file(database.path().with_extension("db-shm"));
        }
        eventually("the new file is there", || async { database.path().exists() }).await;
        app.wait_until_ready().await;
        assert_eq!(app.messages().await, [] as [Value; 0]);
        let id = app.say("eve", "after").await["id"].clone();
        assert_eq!(app.messages().await[0]["id"], id);
        assert_eq!(app.get_json("/users").await, json!({ "users": ["eve"] }));
        assert_eq!(database.count_messages().await, 1, "it is in the new file");
        let mut connection = SqliteConnection::connect(database.url.as_str()).await.unwrap();
        let check: String =
            sqlx::query_scalar("pragma integrity_check").fetch_one(&mut connection).await.unwrap();
        assert_eq!(check, "ok");
    }
}

#[tokio::test]
async fn a_file_that_another_process_has_locked_is_waited_for() {
    let database = TestDatabase::sqlite();
    let app = TestApp::start_with(&database, &["--request-timeout", "1s"]).await;
    let mut other = database.lock().await;
    let (status, code) = refusal(app.post("bob", "locked out")).await;
    assert!([503, 504].contains(&status), "{status} {code}");
    assert_eq!(app.get("/messages").await.status(), 200, "reading goes on");

    let waiting = tokio::spawn(app.post("bob", "waits").send());
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    other.execute("rollback").await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().status(), 201);
}

#[tokio::test]
async fn a_transaction_that_sqlite_ended_by_itself_harms_no_later_one() {
    let database = TestDatabase::sqlite();
    let app = TestApp::start_on(&database).await;
    // The same thing that a full disk makes SQLite do.
    let full =
        "create trigger full before insert on messages begin select raise(rollback, 'full'); end";
    database.execute(full).await.unwrap();
    for _ in 0..3 {
        assert_eq!(refusal(app.post("bob", "refused")).await, (500, "internal".into()));
    }
    database.execute("drop trigger full").await.unwrap();
    app.say("bob", "hi").await;
    assert_eq!(database.count_messages().await, 1);
}

#[tokio::test]
async fn a_file_that_no_retry_can_open_ends_the_process_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("text"), "This is no database, and it is longer than a header.".repeat(30))
        .unwrap();
    let long = "x".repeat(300);
    std::os::unix::fs::symlink("loop", at("loop")).unwrap();
    std::os::unix::fs::symlink("missing/chat.db", at("lost")).unwrap();
    std::fs::create_dir(at("side-journal")).unwrap();
    assert!(Command::new("mkfifo").arg(at("pipe")).status().unwrap().success());
    for (file, expected) in [
        (at("missing/chat.db"), format!("because the directory {} does not exist", at("missing"))),
        (folder.path().display().to_string(), "is a directory; name a file".to_owned()),
        (at("text"), "is not an SQLite database; name another file".to_owned()),
        ("/dev/null".to_owned(), "is a device or a pipe; name a file".to_owned()),
        (at("text/chat.db"), "Not a directory (os error 20); name a file".to_owned()),
        (at(&long), "File name too long".to_owned()),
        (at("loop"), "Too many levels of symbolic links (os error 40); name a file".to_owned()),
        (at("loop/chat.db"), "Too many levels of symbolic links".to_owned()),
        (at("lost"), "cannot be opened for writing: No such file or directory".to_owned()),
        (at("side"), format!("{}: Is a directory (os error 21)", at("side-journal"))),
        (at("pipe"), "is a device or a pipe; name a file".to_owned()),
        // Where not even root may create files.
        ("/sys/chat.db".to_owned(), "cannot be opened for writing: Permission denied".to_owned()),
    ] {
        let url = format!("sqlite://{file}");
        for migrate in ["auto", "only", "off"] {
            if migrate == "off" && (file.starts_with("/sys") || file.ends_with("lost")) {
                // Another process could create these; this one may not try.
                continue;
            }
            let message = last_words(&[("DATABASE_URL", &url), ("MIGRATE", migrate)]).await;
            let start = format!("DATABASE_URL: {file} ");
            assert!(message.starts_with(&start), "{migrate}: {message}");
            assert!(message.contains(&expected), "{migrate}: {message}");
        }
    }
    let left = std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().file_name());
    let left: BTreeSet<_> = left.map(|name| name.into_string().unwrap()).collect();
    // SQLite creates the file itself before it looks for its journal.
    let expected = ["text", "loop", "lost", "pipe", "side", "side-journal"].map(Into::into);
    assert_eq!(left, BTreeSet::from(expected), "nothing was left there by looking for the reason");
}

#[tokio::test]
async fn with_migrate_off_a_file_that_is_absent_is_waited_for_and_not_created() {
    let database = TestDatabase::sqlite();
    let flags = ["--database-url", database.url.as_str(), "--migrate", "off"];
    let server = Process::start(&flags).await;
    let waiting =
        || server.log().into_iter().find(|line| line["message"] == "Waiting for the database");
    eventually("the log says so", || async { waiting().is_some() }).await;
    let waiting = waiting().unwrap();
    assert_eq!(waiting["db.fault"], "database_missing", "{waiting}");
    let cause = waiting["cause"].to_string();
    assert!(cause.contains("chat.db does not exist, and MIGRATE=off"), "{waiting}");
    assert!(!database.path().exists());
    Process::migrate(&flags[..2]).await;
    server.wait_until_ready().await;
    // Also after it has served.
    for file in ["db", "db-wal", "db-shm"] {
        let _ = std::fs::remove_file(database.path().with_extension(file));
    }
    eventually("the log says so again", || async {
        let is_about = |line: &Value| line["cause"].to_string().contains("MIGRATE=off leaves");
        server.log().iter().filter(|line| is_about(line)).count() > 1
    })
    .await;
}

#[tokio::test]
async fn room_on_the_disk_is_waited_for() {
    let database = TestDatabase::sqlite();
    // A limit on the size of files stands for the disk: it too ends, and can be taken away. The
    // process has to ignore the signal that says so, which it can inherit from a shell.
    let full = "trap '' XFSZ; ulimit -S -f 8";
    let server = Process::start_after(full, &["--database-url", database.url.as_str()]).await;
    eventually("the reason is named", || async {
        let ready = server.json("/readyz").await;
        ready["checks"][0]["reason"] == "full"
    })
    .await;
    let waiting =
        || server.log().into_iter().find(|line| line["message"] == "Waiting for the database");
    eventually("the log says so", || async { waiting().is_some() }).await;
    let waiting = waiting().unwrap();
    assert_eq!(waiting["db.fault"], "full", "{waiting}");
    assert_eq!(waiting["db.namespace"], database.path().to_str().unwrap(), "{waiting}");
    server.set_file_limit("unlimited").await;
    server.wait_until_ready().await;
    assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
}
