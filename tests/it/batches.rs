//! Posts that wait are stored together, and each is answered for itself.

use crate::{
    harness::{TestApp, TestDatabase, connect_mysql, database_server, eventually},
    locks::with_global,
};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::Value;
use sqlx::{Executor, MySqlConnection, SqliteConnection};
use tokio::{io::AsyncWriteExt, net::TcpStream, task::JoinHandle};

/// Another session on whose end all posts wait, so that they are stored together then.
enum Hold {
    MySql(MySqlConnection),
    Sqlite(SqliteConnection),
}

impl Hold {
    async fn new(app: &TestApp, database: &TestDatabase) -> (Self, JoinHandle<StatusCode>) {
        let hold = if database_server().is_some() {
            let mut connection = connect_mysql(&database.url).await.unwrap();
            connection.execute("begin").await.unwrap();
            connection.execute("insert into users (name) values ('first')").await.unwrap();
            Self::MySql(connection)
        } else {
            Self::Sqlite(database.lock().await)
        };
        // This one is under way, and the next ones gather behind it.
        let first = app.post("first", "hi").send();
        let first = tokio::spawn(async { first.await.unwrap().status() });
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        (hold, first)
    }

    async fn release(self) {
        match self {
            Self::MySql(mut connection) => drop(connection.execute("rollback").await.unwrap()),
            Self::Sqlite(mut connection) => drop(connection.execute("rollback").await.unwrap()),
        }
    }
}

/// Posts texts while nothing can be stored, then lets them be stored, and returns the answers.
async fn post_together(
    app: &TestApp,
    database: &TestDatabase,
    texts: &[String],
) -> Vec<(StatusCode, Value)> {
    let (hold, first) = Hold::new(app, database).await;
    let posts: Vec<_> =
        texts.iter().map(|text| tokio::spawn(app.post("bob", text).send())).collect();
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    hold.release().await;
    assert_eq!(first.await.unwrap(), 201);
    let mut answers = Vec::new();
    for post in posts {
        let response = post.await.unwrap().unwrap();
        answers.push((response.status(), response.json().await.unwrap()));
    }
    answers
}

async fn each_is_stored_under_its_own_id(app: &TestApp, database: &TestDatabase) {
    let texts: Vec<String> = (0..77).map(|number| format!("text {number}")).collect();
    let answers = post_together(app, database, &texts).await;
    for (text, (status, answer)) in texts.iter().zip(&answers) {
        assert_eq!(*status, 201);
        let stored = app.get_json(&format!("/messages/{}", answer["id"])).await;
        assert_eq!(stored["text"], *text);
        assert_eq!(stored, *answer);
    }
    assert_eq!(database.count_messages().await, texts.len() + 1);
}

#[tokio::test]
async fn posts_that_are_stored_together_get_their_own_ids() {
    let (app, database) = TestApp::start().await;
    each_is_stored_under_its_own_id(&app, &database).await;
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn ids_have_no_gaps_where_the_database_would_leave_some() {
    // The other tests do not mind.
    with_global("auto_increment_increment", "7", async {
        let (app, database) = TestApp::start().await;
        each_is_stored_under_its_own_id(&app, &database).await;
        let ids: Vec<_> = app.messages().await.iter().map(|m| m["id"].as_i64().unwrap()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] - pair[1] == 1), "{ids:?}");
    })
    .await;
}

#[tokio::test]
async fn many_posts_are_stored_by_few_statements() {
    let (app, database) = TestApp::start().await;
    database.execute("create table stamps (at varchar(40))").await.unwrap();
    // Time stands still during a statement.
    let trigger = if database_server().is_some() {
        "create trigger stamp after insert on messages for each row \
         insert into stamps values (now(6))"
    } else {
        "create trigger stamp after insert on messages \
         begin insert into stamps values (julianday('now')); end"
    };
    database.execute(trigger).await.unwrap();
    let texts: Vec<String> = (0..77).map(|number| format!("text {number}")).collect();
    post_together(&app, &database, &texts).await;
    assert_eq!(database.count("select count(*) from stamps").await, 78);
    let statements = database.count("select count(distinct at) from stamps").await;
    // The one that held all others up, and then 64, 8, 4 and 1.
    assert!(statements <= 12, "{statements} statements");
}

/// Makes the database refuse messages with the text "bad".
pub async fn refuse_bad(database: &TestDatabase) {
    let refuse = if database_server().is_some() {
        "create trigger refuse before insert on messages for each row begin \
         if new.text = 'bad' then signal sqlstate '45000'; end if; end"
    } else {
        "create trigger refuse before insert on messages when new.text = 'bad' \
         begin select raise(abort, 'bad'); end"
    };
    database.execute(refuse).await.unwrap();
}

#[tokio::test]
async fn a_message_that_the_database_refuses_fails_alone() {
    let (app, database) = TestApp::start().await;
    app.say("bob", "before").await;
    refuse_bad(&database).await;
    let mut texts: Vec<String> = (0..40).map(|number| format!("good {number}")).collect();
    texts[17] = "bad".into();
    for (text, (status, body)) in texts.iter().zip(post_together(&app, &database, &texts).await) {
        let expected = if text == "bad" { 500 } else { 201 };
        assert_eq!(status, expected, "{text}: {body}");
    }
    assert_eq!(database.count_messages().await, 41);
}

#[tokio::test]
async fn repetitions_in_one_batch_are_one_message() {
    let (app, database) = TestApp::start().await;
    let (hold, _first) = Hold::new(&app, &database).await;
    let keyed = |text: &str| app.post("bob", text).header("idempotency-key", "k").send();
    let posts = [keyed("hi"), keyed("other"), keyed("hi")];
    let posts = tokio::spawn(join_all(posts));
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    hold.release().await;
    let mut statuses = Vec::new();
    let mut replays = 0;
    for response in posts.await.unwrap() {
        let response = response.unwrap();
        statuses.push(response.status().as_u16());
        replays += usize::from(response.headers().contains_key("idempotency-replayed"));
    }
    statuses.sort_unstable();
    // Whichever text came first, the other one reuses its key.
    assert!(statuses == [201, 201, 422] || statuses == [201, 422, 422], "{statuses:?}");
    assert_eq!(replays + 1, statuses.iter().filter(|status| **status == 201).count());
    eventually("both users' messages are stored", || async {
        database.count_messages().await == 2
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_neither_undoes_nor_doubles_its_message() {
    let (app, database) = TestApp::start().await;
    let (hold, first) = Hold::new(&app, &database).await;
    for number in 0..20 {
        let body = format!(r#"{{"user":"bob","text":"{number}"}}"#);
        let head = "POST /message HTTP/1.1\r\nhost: x\r\ncontent-type: application/json";
        let request = format!("{head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let mut stream = TcpStream::connect(app.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    hold.release().await;
    first.await.unwrap();
    eventually("all are stored", || async { database.count_messages().await == 21 }).await;
    app.stop().await;
    assert_eq!(database.count_messages().await, 21);
}
