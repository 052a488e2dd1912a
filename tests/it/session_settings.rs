//! The server keeps its promises whatever the database's server-wide settings are, because each of
//! its sessions sets what they rest on.

use crate::{
    harness::{PATIENCE, TestApp, connect_mysql, eventually, refusal},
    private_database::PrivateDatabase,
};
use futures_util::future::join_all;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor, MySqlConnection};
use std::collections::BTreeSet;
use tokio::time::timeout;
use url::Url;

/// What one of the two databases does not know is left out there.
const WRONG: [&str; 38] = [
    "transaction isolation level read uncommitted, read only",
    "autocommit = 0",
    "completion_type = 'RELEASE'",
    "sql_select_limit = 1",
    "max_join_size = 1",
    "max_execution_time = 1",
    "max_statement_time = 0.05",
    "unique_checks = 0",
    "foreign_key_checks = 0",
    "check_constraint_checks = 0",
    "sql_safe_updates = 1",
    "sql_auto_is_null = 1",
    "sql_mode = 'ANSI,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,NO_UNSIGNED_SUBTRACTION,\
     HIGH_NOT_PRECEDENCE,NO_AUTO_VALUE_ON_ZERO,TIME_TRUNCATE_FRACTIONAL'",
    "sql_mode = 'ORACLE,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH,HIGH_NOT_PRECEDENCE,\
     NO_AUTO_VALUE_ON_ZERO,EMPTY_STRING_IS_NULL,SIMULTANEOUS_ASSIGNMENT,TIME_ROUND_FRACTIONAL'",
    "time_zone = '-11:00'",
    "character_set_server = 'latin1'",
    "character_set_client = 'latin1'",
    "character_set_connection = 'latin1'",
    "character_set_results = 'latin1'",
    "innodb_lock_wait_timeout = 1000",
    "lock_wait_timeout = 1000",
    "wait_timeout = 1",
    "net_read_timeout = 1",
    "net_write_timeout = 1",
    "idle_transaction_timeout = 1",
    "default_storage_engine = 'MyISAM'",
    "innodb_default_row_format = 'redundant'",
    "innodb_strict_mode = 0",
    "innodb_force_primary_key = 1",
    "sql_require_primary_key = 1",
    "explicit_defaults_for_timestamp = 0",
    "low_priority_updates = 1",
    "big_tables = 1",
    "max_sort_length = 8",
    "div_precision_increment = 0",
    "group_concat_max_len = 4",
    "information_schema_stats_expiry = 31536000",
    "lc_messages = 'fr_FR'",
];

/// The number of an unknown variable, and of a value that is not known.
const UNKNOWN: [&str; 2] = ["1193", "1231"];

async fn set_all_wrong(root: &mut MySqlConnection) {
    for setting in WRONG {
        let set = root.execute(AssertSqlSafe(format!("set global {setting}"))).await;
        let error = set.err().map(|error| error.to_string()).unwrap_or_default();
        let is_unknown = UNKNOWN.iter().any(|number| error.contains(number));
        assert!(error.is_empty() || is_unknown, "{setting}: {error}");
    }
}

/// Posts with a key, and again with the same one.
async fn post_twice(app: &TestApp, number: usize) -> i64 {
    let text = format!("{number} \\ ' \" \0 🦀");
    let post = || app.post(&format!("bøb {}", number % 7), &text).header("idempotency-key", number);
    let mut ids = Vec::new();
    for _ in 0..2 {
        let response = post().send().await.unwrap();
        assert_eq!(response.status(), 201);
        let message: Value = response.json().await.unwrap();
        assert_eq!(message["text"], text);
        ids.push(message["id"].as_i64().unwrap());
    }
    assert_eq!(ids[0], ids[1], "a retry stored its message again");
    ids[0]
}

/// Reads all ids from page to page, the oldest first.
async fn page_through(app: &TestApp) -> Vec<i64> {
    let mut ids: Vec<i64> = Vec::new();
    loop {
        let after = ids.last().copied().unwrap_or_default();
        let page = app.get_json(&format!("/messages?after={after}&limit=13")).await;
        let page = page["messages"].as_array().unwrap();
        if page.is_empty() {
            return ids;
        }
        ids.extend(page.iter().rev().map(|message| message["id"].as_i64().unwrap()));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn every_promise_holds_with_all_settings_of_the_database_server_wrong() {
    let database = PrivateDatabase::new();
    database.start().await;
    let url: Url = database.url().parse().unwrap();
    let mut root = database.root().await;
    root.execute("set session wait_timeout = 1000").await.unwrap();
    set_all_wrong(&mut root).await;
    // It creates and migrates the database, too.
    let app = TestApp::launch(url.as_str(), &[]).await;
    timeout(PATIENCE, app.wait_until_ready()).await.expect("the server becomes ready");

    let posted = join_all((0..150).map(|number| post_twice(&app, number))).await;
    let posted: BTreeSet<i64> = posted.into_iter().collect();
    assert!(posted.iter().copied().eq(1..=150), "{posted:?}");
    assert!(page_through(&app).await.into_iter().eq(1..=150));
    assert_eq!(app.messages().await.len(), 100);
    assert_eq!(app.get_json("/users").await["users"].as_array().unwrap().len(), 7);
    assert_eq!(app.get_json("/users?after=b%C3%B8b%203&limit=2").await["users"][1], "bøb 5");
    assert_eq!(app.get_json("/messages/77").await["id"], 77);
    let reused = refusal(app.post("bøb 1", "another").header("idempotency-key", "1")).await;
    assert_eq!(reused, (422, "idempotency_key_reused".into()));

    only_committed_messages_are_read(&app, &url).await;
    // A lock costs a post two seconds and not a thousand.
    let mut other = session(&url).await;
    other.execute("start transaction").await.unwrap();
    other.execute("select id from chat.messages for update").await.unwrap();
    let locked_out = timeout(PATIENCE, refusal(app.post("bob", "locked out"))).await.unwrap();
    assert_eq!(locked_out, (503, "database_unavailable".into()));
    other.execute("rollback").await.unwrap();
    app.say("bob", "in again").await;
    // Longer than the database keeps an idle session by its own setting.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(app.get_json("/messages/152").await["text"], "in again");
}

/// A session beside the server's, with settings of its own.
async fn session(url: &Url) -> MySqlConnection {
    let mut session = connect_mysql(url).await.unwrap();
    let settings = "set session transaction read write; \
                    set session completion_type = 0, sql_big_selects = 1, wait_timeout = 1000, \
                    sql_select_limit = 1000 /*!80000 , max_execution_time = 0 */ \
                    /*M!100000 , max_statement_time = 0, idle_transaction_timeout = 0, sql_mode = '' */";
    session.execute(sqlx::raw_sql(settings)).await.unwrap();
    session
}

async fn only_committed_messages_are_read(app: &TestApp, url: &Url) {
    let mut other = session(url).await;
    other.execute("start transaction").await.unwrap();
    let insert = "insert into messages (id, dedup, user, text, created_at) values \
                  (151, unhex(repeat('ab', 16)), 'eve', 'never committed', '2026-01-01')";
    other.execute(insert).await.unwrap();
    assert_eq!(app.messages().await[0]["id"], 150);
    assert_eq!(app.get("/messages/151").await.status(), 404);
    assert!(page_through(app).await.into_iter().eq(1..=150));
    other.execute("rollback").await.unwrap();
    eventually("a post takes the id", || async {
        app.post("bob", "in time").send().await.unwrap().status() == 201
    })
    .await;
    assert_eq!(app.get_json("/messages/151").await["user"], "bob");
}
