//! The schema: applied one by one with rows in the tables, twice, half, by two servers at once, and
//! by a newer one.

use crate::{
    harness::{TestApp, TestDatabase, database_server, eventually},
    process::Process,
};
use data_encoding::HEXUPPER;
use sqlx::migrate::Migrator;
use std::{collections::BTreeSet, path::Path};

/// The files, as sqlx itself reads them.
async fn migrator() -> Migrator {
    let folder = if database_server().is_some() { "mysql" } else { "sqlite" };
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
    Migrator::new(folder).await.unwrap()
}

fn file_names(folder: &str) -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
    let files = std::fs::read_dir(folder).unwrap();
    files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn what_both_databases_have_has_one_name() {
    assert!(file_names("sqlite").is_subset(&file_names("mysql")));
}

#[tokio::test]
async fn every_file_is_applied_as_it_is() {
    let (_app, database) = TestApp::start().await;
    let files = migrator().await;
    for file in files.iter() {
        let checksum = HEXUPPER.encode(&file.checksum);
        let applied = format!(
            "select count(*) from chat_server_migrations where version = {} and description = '{}' and \
             hex(checksum) = '{checksum}'",
            file.version, file.description
        );
        assert_eq!(database.count(applied.leak()).await, 1, "{}", file.description);
    }
    let all = database.count("select count(*) from chat_server_migrations").await;
    assert_eq!(all, files.iter().count());
}

#[tokio::test]
async fn each_migration_is_named_in_the_log_when_it_is_applied() {
    let database = TestDatabase::new();
    let flags = ["--database-url", database.url.as_str()];
    let files = migrator().await;
    let names = files.iter().map(|it| format!("{:04}_{}", it.version, it.description));
    let expected: Vec<_> =
        names.map(|name| format!("Applying the migration {}", name.replace(' ', "_"))).collect();
    for expected in [expected, Vec::new()] {
        let server = Process::start(&flags).await;
        server.wait_until_ready().await;
        let log = server.log();
        let messages = log.iter().filter_map(|line| line["message"].as_str());
        let applied: Vec<_> = messages.filter(|it| it.starts_with("Applying")).collect();
        assert_eq!(applied, expected);
        server.stop().await;
    }
}

#[tokio::test]
async fn an_absent_database_is_created() {
    let database = TestDatabase::new();
    assert!(database.execute("select 1").await.is_err(), "it is there already");
    let app = TestApp::start_on(&database).await;
    app.say("bob", "hi").await;
    assert_eq!(database.count_messages().await, 1);
}

/// Creates the database without any table.
async fn empty_database() -> TestDatabase {
    let database = TestDatabase::new();
    let app = TestApp::start_on(&database).await;
    app.stop().await;
    for table in ["messages", "users", "message_sequence", "chat_server_migrations"] {
        database.execute(&format!("drop table if exists {table}")).await.unwrap();
    }
    database
}

/// A row as each version of the schema takes it, put in after the migration of that number.
const SAMPLES: [(i64, &str); 3] = [
    (
        1,
        "insert into messages (dedup, user, text, created_at) \
         values (x'000102030405060708090a0b0c0d0e0f', 'bob', 'kept', '2026-11-22 10:00:00.123')",
    ),
    (2, "insert into users (name) values ('bob')"),
    (
        5,
        "insert into messages (id, dedup, user, text, created_at) values \
         (7, x'100102030405060708090a0b0c0d0e0f', 'bob', 'kept too', '2026-11-22 10:00:00.456')",
    ),
];

#[tokio::test]
async fn each_migration_keeps_the_rows_that_are_there_and_can_run_again() {
    let database = empty_database().await;
    for migration in migrator().await.iter() {
        for _ in 0..2 {
            database.execute(migration.sql.as_str()).await.unwrap();
        }
        let sample = SAMPLES.iter().find(|(version, _)| *version == migration.version);
        if let Some((_, sample)) = sample {
            database.execute(sample).await.unwrap();
        }
    }
    let app = TestApp::start_on(&database).await;
    let messages = app.messages().await;
    let oldest = messages.last().unwrap();
    assert_eq!(oldest["text"], "kept");
    assert_eq!(oldest["created_at"], "2026-11-22T10:00:00.123Z");
    assert_eq!(app.get_json("/users").await["users"][0], "bob");
    let newest = messages[0]["id"].as_i64().unwrap();
    assert_eq!(newest, if database_server().is_some() { 7 } else { 1 });
    assert_eq!(app.say("bob", "next").await["id"], newest + 1);
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn an_id_whose_message_was_deleted_before_the_upgrade_is_not_given_out_again() {
    let database = empty_database().await;
    for migration in migrator().await.iter().filter(|migration| migration.version <= 2) {
        database.execute(migration.sql.as_str()).await.unwrap();
    }
    for number in 1..=3 {
        let insert = "insert into messages (dedup, user, text, created_at)";
        let values = format!("values (x'{number:032}', 'bob', 'hi', utc_timestamp(3))");
        database.execute(&format!("{insert} {values}")).await.unwrap();
    }
    database.execute("delete from messages where id > 1").await.unwrap();
    let app = TestApp::start_on(&database).await;
    assert_eq!(app.say("bob", "hi").await["id"], 4);
}

#[tokio::test]
async fn a_migration_that_a_dying_server_left_half_done_is_done_again() {
    let database = TestDatabase::new();
    TestApp::start_on(&database).await.stop().await;
    database.execute("drop table users").await.unwrap();
    database
        .execute("update chat_server_migrations set success = false where version = 2")
        .await
        .unwrap();
    let app = TestApp::start_on(&database).await;
    app.say("bob", "hi").await;
}

/// Starts a server that cannot become ready, and waits until it says why.
async fn assert_not_ready(database: &TestDatabase, flags: &[&str], reason: &str) {
    let app = TestApp::launch(database.url.as_str(), flags).await;
    eventually(reason, || async {
        let ready: serde_json::Value = app.get("/readyz").await.json().await.unwrap();
        ready["checks"][0]["reason"] == reason
    })
    .await;
    assert_eq!(app.get("/messages").await.status(), 503);
}

#[tokio::test]
async fn a_schema_that_may_not_be_migrated_is_reported() {
    let database = empty_database().await;
    assert_not_ready(&database, &["--migrate", "off"], "not_migrated").await;
}

#[tokio::test]
async fn a_released_migration_that_was_changed_is_reported() {
    let database = TestDatabase::new();
    TestApp::start_on(&database).await.stop().await;
    database
        .execute("update chat_server_migrations set checksum = x'00' where version = 1")
        .await
        .unwrap();
    assert_not_ready(&database, &[], "migration_failed").await;
}

#[tokio::test]
async fn a_table_that_is_dropped_under_the_server_is_created_again() {
    let (app, database) = TestApp::start().await;
    for table in ["users", "messages"] {
        app.say("bob", "before").await;
        database.execute(&format!("drop table {table}")).await.unwrap();
        eventually("a post succeeds", || async {
            app.post("eve", "after").send().await.unwrap().status() == 201
        })
        .await;
    }
}

#[tokio::test]
async fn a_missing_table_that_may_not_be_created_is_reported() {
    let database = TestDatabase::new();
    TestApp::start_on(&database).await.stop().await;
    database.execute("drop table users").await.unwrap();
    assert_not_ready(&database, &["--migrate", "off"], "not_migrated").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_start_at_once_on_an_absent_database_migrate_it_once() {
    for _ in 0..3 {
        let database = TestDatabase::new();
        let starts = (0..4).map(|_| {
            let url = database.url.to_string();
            tokio::spawn(async move {
                let app = TestApp::launch(&url, &[]).await;
                app.wait_until_ready().await;
                app.say("bob", "hi").await;
                app
            })
        });
        let mut apps = Vec::new();
        for start in starts.collect::<Vec<_>>() {
            apps.push(start.await.unwrap());
        }
        assert_eq!(database.count_messages().await, 4);
        assert_eq!(apps[0].messages().await.len(), 4);
    }
}

#[tokio::test]
async fn a_schema_that_a_newer_server_has_migrated_is_accepted() {
    let database = TestDatabase::new();
    TestApp::start_on(&database).await.stop().await;
    let newer = "insert into chat_server_migrations (version, description, success, checksum, execution_time) \
                 values (9999, 'from the future', true, 'x', 1)";
    database.execute(newer).await.unwrap();
    let app = TestApp::start_on(&database).await;
    app.say("bob", "hi").await;
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn the_lock_for_migrating_keeps_others_out() {
    use sqlx::Connection;
    let database = empty_database().await;
    let mut other = crate::harness::connect_mysql(&database.url).await.unwrap();
    let held: i64 =
        sqlx::query_scalar("select get_lock(concat('chat-server.', md5(database())), 0)")
            .fetch_one(&mut other)
            .await
            .unwrap();
    assert_eq!(held, 1);
    let server = Process::start(&["--database-url", database.url.as_str()]).await;
    // It says so when it has waited for the lock as long as it does at a time.
    eventually("the log says who migrates", || async {
        server.log().iter().any(|line| {
            line["message"] == "Waiting for the database"
                && line["cause"].to_string().contains("another server is migrating")
        })
    })
    .await;
    assert!(database.execute("select 1 from messages").await.is_err(), "migrated without the lock");
    other.close().await.unwrap();
    server.wait_until_ready().await;
}
