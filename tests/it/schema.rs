//! Whose tables are in the database: those of other applications are left alone, and those of a
//! server that was cut off while it migrated are not taken for such.

use crate::{
    harness::{TestApp, TestDatabase, connect_mysql, database_server, eventually},
    process::Process,
};
use futures_util::{StreamExt, stream};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Executor};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::sleep,
};
use url::Url;

/// A database that exists and is empty.
async fn empty_database() -> TestDatabase {
    let database = TestDatabase::new();
    match database_server() {
        Some(mut server) => {
            server.set_path("");
            let create = format!("create database {}", database.url.path().trim_start_matches('/'));
            let mut connection = connect_mysql(&server).await.unwrap();
            connection.execute(AssertSqlSafe(create)).await.unwrap();
        }
        None => drop(std::fs::File::create(database.path()).unwrap()),
    }
    database
}

async fn tables(database: &TestDatabase) -> usize {
    database
        .count(if database_server().is_some() {
            "select count(*) from information_schema.tables where table_schema = database()"
        } else {
            "select count(*) from sqlite_master where type = 'table'"
        })
        .await
}

#[tokio::test]
async fn tables_of_another_application_are_refused_in_one_line_and_left_alone() {
    let foreign = [
        (
            "users",
            "create table users (name varchar(100) primary key not null, email varchar(100))",
        ),
        ("users", "create table users (name varchar(99) primary key)"),
        (
            "messages",
            "create table messages (id bigint primary key, user varchar(100), text varchar(100))",
        ),
    ];
    for (table, create) in foreign {
        let database = empty_database().await;
        database.execute(create).await.unwrap();
        let bytes = || database_server().is_none().then(|| std::fs::read(database.path()).unwrap());
        let before = bytes();
        let server = Process::start(&["--database-url", database.url.as_str()]).await;
        eventually("it is refused", || async {
            server.json("/readyz").await["checks"][0]["reason"] == "foreign_tables"
        })
        .await;
        for path in ["/users", "/messages"] {
            server.wait_for_status(path, 503).await;
        }
        assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 503);
        let off = ["--database-url", database.url.as_str(), "--migrate", "off"];
        let careful = Process::start(&off).await;
        eventually("it is refused whatever may be migrated", || async {
            careful.json("/readyz").await["checks"][0]["reason"] == "foreign_tables"
        })
        .await;
        careful.stop().await;
        let log = server.log();
        let told: Vec<_> = log.iter().filter(|line| line["db.fault"] == "foreign_tables").collect();
        let cause = told[0]["cause"].as_str().unwrap();
        let name = database.url.path().rsplit('/').next().unwrap();
        assert!(cause.contains(name) && cause.contains(&format!("would be: {table};")), "{cause}");
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(bytes() == before && tables(&database).await == 1, "something was written");
        let moved = format!("alter table {table} rename to theirs");
        database.execute(&moved).await.unwrap();
        server.wait_until_ready().await;
        assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
    }
}

#[tokio::test]
async fn a_table_that_is_replaced_by_that_of_another_application_is_refused() {
    let (app, database) = TestApp::start().await;
    app.say("bob", "hi").await;
    database.execute("create table theirs (email varchar(100))").await.unwrap();
    exchange(&database, "ours", "theirs").await;
    eventually("it is refused", || async {
        let ready: Value = app.get("/readyz").await.json().await.unwrap();
        ready["checks"][0]["reason"] == "foreign_tables"
    })
    .await;
    exchange(&database, "theirs", "ours").await;
    app.wait_until_ready().await;
    assert_eq!(app.messages().await.len(), 1);
}

/// Gives the table of users a name and its own to another table, in one step, because a server that
/// finds no such table creates it.
async fn exchange(database: &TestDatabase, old: &str, new: &str) {
    let sql = if database_server().is_some() {
        format!("rename table users to {old}, {new} to users")
    } else {
        format!(
            "begin; alter table users rename to {old}; alter table {new} rename to users; commit"
        )
    };
    database.execute(&sql).await.unwrap();
}

/// The list of migrations as servers before it had its name kept it, and as others keep theirs.
const SQLX_LIST: &str = "create table _sqlx_migrations (version bigint primary key, \
    description text not null, installed_on timestamp not null default current_timestamp, \
    success boolean not null, checksum blob not null, execution_time bigint not null)";

#[tokio::test]
async fn the_list_of_migrations_of_another_application_is_left_alone() {
    let database = empty_database().await;
    database.execute(SQLX_LIST).await.unwrap();
    let theirs = "insert into _sqlx_migrations (version, description, success, checksum, \
                  execution_time) values (1, 'theirs', true, 'x', 1)";
    database.execute(theirs).await.unwrap();
    let app = TestApp::start_on(&database).await;
    app.say("bob", "hi").await;
    let left = "select count(*) from _sqlx_migrations where description = 'theirs'";
    assert_eq!(database.count(left).await, 1);
    assert_eq!(database.count("select count(*) from _sqlx_migrations").await, 1);
}

#[tokio::test]
async fn the_list_of_migrations_of_an_earlier_server_is_taken_over_and_stays() {
    let (app, database) = TestApp::start().await;
    app.say("bob", "before").await;
    app.stop().await;
    database.execute(SQLX_LIST).await.unwrap();
    for statement in [
        "insert into _sqlx_migrations select * from chat_server_migrations",
        "drop table chat_server_migrations",
    ] {
        database.execute(statement).await.unwrap();
    }
    // One that may not migrate can serve as well.
    TestApp::start_with(&database, &["--migrate", "off"]).await.say("bob", "between").await;
    let app = TestApp::start_on(&database).await;
    app.say("bob", "after").await;
    assert_eq!(app.messages().await.len(), 3);
    let same = "select count(*) from _sqlx_migrations old join chat_server_migrations new \
                on old.version = new.version and old.installed_on = new.installed_on";
    let all = database.count("select count(*) from chat_server_migrations").await;
    assert_eq!(database.count(same).await, all);
    assert!(all > 1);
}

#[tokio::test]
async fn a_schema_that_is_newer_is_named_in_the_log() {
    let database = TestDatabase::new();
    TestApp::start_on(&database).await.stop().await;
    let newer = "insert into chat_server_migrations (version, description, success, checksum, \
                 execution_time) values (9999, 'from the future', true, 'x', 1)";
    database.execute(newer).await.unwrap();
    let server = Process::start(&["--database-url", database.url.as_str()]).await;
    server.wait_until_ready().await;
    let is_told = |line: &Value| line["message"].to_string().contains("has migration 9999");
    assert!(server.log().iter().any(is_told));
}

/// Forwards to a server until so many packets have come from its clients; then breaks all
/// connections, once. Returns how many came.
async fn cut_once(target: String, packets: usize) -> (SocketAddr, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (count, cut) = (Arc::new(AtomicUsize::new(0)), watch::Sender::new(()));
    let counted = Arc::clone(&count);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&target).await.unwrap();
            let (counted, cut) = (Arc::clone(&counted), cut.clone());
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let mut is_cut = cut.subscribe();
                let forward = async {
                    let mut buffer = vec![0; 64 * 1024];
                    while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
                        if counted.fetch_add(1, Ordering::Relaxed) == packets {
                            let _ = cut.send(());
                        } else if to_server.write_all(&buffer[..read]).await.is_err() {
                            return;
                        }
                    }
                };
                tokio::select! {
                    () = forward => {}
                    _ = copy(&mut from_server, &mut to_client) => {}
                    _ = is_cut.changed() => {}
                }
            });
        }
    });
    (address, count)
}

/// Starts a server whose connection breaks at a packet. Returns whether it did before the server
/// was ready.
async fn first_start_cut_at(packets: usize) -> bool {
    let database = TestDatabase::new();
    let target = format!("{}:{}", database.url.host_str().unwrap(), database.url.port().unwrap());
    let (address, count) = cut_once(target, packets).await;
    let mut url: Url = database.url.clone();
    url.set_port(Some(address.port())).unwrap();
    url.set_query(Some("ssl-mode=DISABLED"));
    let app = TestApp::launch(url.as_str(), &[]).await;
    app.wait_until_ready().await;
    let was_cut = count.load(Ordering::Relaxed) > packets;
    assert_eq!(app.say("bob", "hi").await["id"], 1, "cut at {packets}");
    was_cut
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a database server: make test"]
async fn a_first_migration_that_is_cut_off_at_any_statement_is_finished() {
    let cuts = stream::iter(0..).map(first_start_cut_at).buffered(4);
    let cuts = cuts.take_while(|was_cut| std::future::ready(*was_cut)).count().await;
    assert!(cuts > 30, "only {cuts} packets");
}

#[tokio::test]
async fn a_first_migration_that_is_killed_at_any_moment_is_finished() {
    for _ in 0..12 {
        let database = TestDatabase::new();
        let killed = Process::start(&["--database-url", database.url.as_str()]).await;
        sleep(Duration::from_micros(fastrand::u64(..60_000))).await;
        killed.kill().await;
        let app = TestApp::start_on(&database).await;
        app.say("bob", "hi").await;
    }
}
