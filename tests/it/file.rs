//! What can happen to an SQLite file under the server. Always on SQLite.

use crate::harness::{TestApp, TestDatabase, eventually, refusal};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};

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
async fn a_folder_that_does_not_exist_yet_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("later");
    let url = format!("sqlite://{}/chat.db", missing.display());
    let app = TestApp::launch(&url, &[]).await;
    eventually("the trouble is named", || async {
        let ready: Value = app.get("/readyz").await.json().await.unwrap();
        ready["checks"][0]["reason"] == "unreachable"
    })
    .await;
    std::fs::create_dir(&missing).unwrap();
    app.wait_until_ready().await;
    app.say("bob", "hi").await;
}
