//! axum and sqlx: chat-server's language and database driver, with a query per request.
//!
//! Usage: peer-axum PORT DATABASE_URL

use axum::{Router, http::StatusCode, response, serve::ListenerExt};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use sqlx::{
    Pool,
    mysql::{MySqlConnectOptions, MySqlPoolOptions, MySqlSslMode},
    raw_sql,
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};
use std::{collections::HashSet, env, error::Error, time::Duration};
use time::OffsetDateTime;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measured, see `bench/peers/README.md`.
const MYSQL_CONNECTIONS: u32 = 64;
/// The same. Each has a thread of its own.
const SQLITE_READERS: u32 = 8;
const SQLITE_BUSY_TIMEOUT: Duration = Duration::from_secs(5);

const MYSQL_SCHEMA: [&str; 2] = [
    include_str!("../../../../migrations/mysql/0001_messages.sql"),
    include_str!("../../../../migrations/mysql/0002_users.sql"),
];
const SQLITE_SCHEMA: [&str; 2] = [
    include_str!("../../../../migrations/sqlite/0001_messages.sql"),
    include_str!("../../../../migrations/sqlite/0002_users.sql"),
];

const USER_CHARS_MAX: usize = 100;
const TEXT_CHARS_MAX: usize = 65_535;

#[derive(Deserialize)]
struct MessageToPost {
    user: String,
    text: String,
}

#[derive(Serialize, sqlx::FromRow)]
struct Message {
    id: i64,
    user: String,
    text: String,
    #[serde(serialize_with = "rfc3339_milliseconds::serialize")]
    created_at: OffsetDateTime,
}

time::serde::format_description!(
    rfc3339_milliseconds,
    OffsetDateTime,
    "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
);

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let [port, url] = &env::args().skip(1).collect::<Vec<_>>()[..] else {
        return Err("usage: peer-axum PORT DATABASE_URL".into());
    };
    let app = if url.starts_with("mysql:") { on_mysql(url).await? } else { on_sqlite(url).await? };
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port.parse()?)).await?;
    // Small answers must not wait for the acknowledgement of the ones before them.
    let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
    Ok(axum::serve(listener, app).await?)
}

async fn on_mysql(url: &str) -> Result<Router, Box<dyn Error>> {
    let options: MySqlConnectOptions = url.parse()?;
    let pool = MySqlPoolOptions::new()
        .max_connections(MYSQL_CONNECTIONS)
        .min_connections(MYSQL_CONNECTIONS)
        // Otherwise a ping goes before each query, which is one more round trip.
        .test_before_acquire(false)
        .connect_with(options.ssl_mode(MySqlSslMode::Disabled))
        .await?;
    for table in MYSQL_SCHEMA {
        raw_sql(table).execute(&pool).await?;
    }
    Ok(mysql::routes(pool.clone(), pool))
}

async fn on_sqlite(url: &str) -> Result<Router, Box<dyn Error>> {
    let options = url
        .parse::<SqliteConnectOptions>()?
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(SQLITE_BUSY_TIMEOUT);
    let pool = SqlitePoolOptions::new().test_before_acquire(false);
    // SQLite has one writer at a time, and waiting in the pool's queue is fair and cheap.
    let writer = pool.clone().max_connections(1).connect_with(options.clone()).await?;
    let reader = pool.max_connections(SQLITE_READERS).connect_with(options).await?;
    for table in SQLITE_SCHEMA {
        raw_sql(table).execute(&writer).await?;
    }
    Ok(sqlite::routes(reader, writer))
}

struct Store<D: sqlx::Database> {
    reader: Pool<D>,
    writer: Pool<D>,
    /// Names that are stored already, so that only a new one costs an insert.
    names: RwLock<HashSet<String>>,
}

/// The handlers with their queries, for each kind of database.
macro_rules! handlers {
    ($kind:ident, $database:ty, $insert_user:literal, $id:ident) => {
        mod $kind {
            use crate::{Failure, Message, MessageToPost, OffsetDateTime, RwLock, Store, parse};
            use axum::{Json, Router, extract::State, http::StatusCode, routing};
            use sqlx::{Pool, query, query_as, query_scalar};
            use std::{collections::BTreeMap, sync::Arc};
            use uuid::Uuid;

            type App = State<Arc<Store<$database>>>;
            type List<T> = Result<Json<BTreeMap<&'static str, Vec<T>>>, Failure>;

            pub fn routes(reader: Pool<$database>, writer: Pool<$database>) -> Router {
                let store = Store { reader, writer, names: RwLock::default() };
                Router::new()
                    .route("/message", routing::post(post))
                    .route("/messages", routing::get(messages))
                    .route("/users", routing::get(users))
                    .with_state(Arc::new(store))
            }

            async fn post(
                State(store): App,
                Json(message): Json<MessageToPost>,
            ) -> Result<(StatusCode, Json<Message>), Failure> {
                let MessageToPost { user, text } = parse(message)?;
                let created_at = OffsetDateTime::now_utc().truncate_to_millisecond();
                let insert =
                    "insert into messages (dedup, user, text, created_at) values (?, ?, ?, ?)";
                let insert =
                    query(insert).bind(Uuid::now_v7()).bind(&user).bind(&text).bind(created_at);
                let id = if store.names.read().contains(&user) {
                    // One statement is a transaction by itself.
                    insert.execute(&store.writer).await?.$id() as i64
                } else {
                    let mut transaction = store.writer.begin().await?;
                    query($insert_user).bind(&user).execute(&mut *transaction).await?;
                    let id = insert.execute(&mut *transaction).await?.$id() as i64;
                    transaction.commit().await?;
                    store.names.write().insert(user.clone());
                    id
                };
                Ok((StatusCode::CREATED, Json(Message { id, user, text, created_at })))
            }

            async fn messages(State(store): App) -> List<Message> {
                let newest =
                    "select id, user, text, created_at from messages order by id desc limit 100";
                let messages = query_as(newest).fetch_all(&store.reader).await?;
                Ok(Json(BTreeMap::from([("messages", messages)])))
            }

            async fn users(State(store): App) -> List<String> {
                let first = "select name from users order by name limit 1000";
                let users = query_scalar(first).fetch_all(&store.reader).await?;
                Ok(Json(BTreeMap::from([("users", users)])))
            }
        }
    };
}

handlers!(mysql, sqlx::MySql, "insert ignore into users values (?)", last_insert_id);
handlers!(sqlite, sqlx::Sqlite, "insert or ignore into users values (?)", last_insert_rowid);

/// Trims the name and checks everything by chat-server's rules.
fn parse(MessageToPost { user, text }: MessageToPost) -> Result<MessageToPost, Failure> {
    let refused = |why: &str| Err(Failure(StatusCode::UNPROCESSABLE_ENTITY, why.to_owned()));
    let user = user.trim().to_owned();
    let is_long = user.chars().nth(USER_CHARS_MAX).is_some();
    if user.is_empty() || is_long || user.chars().any(char::is_control) {
        return refused("user has 1 to 100 characters, none of them a control character");
    }
    if text.len() > TEXT_CHARS_MAX && text.chars().nth(TEXT_CHARS_MAX).is_some() {
        return refused("text has up to 65535 characters");
    }
    Ok(MessageToPost { user, text })
}

struct Failure(StatusCode, String);

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        eprintln!("{error}");
        Self(StatusCode::INTERNAL_SERVER_ERROR, "internal error".to_owned())
    }
}

impl response::IntoResponse for Failure {
    fn into_response(self) -> response::Response {
        (self.0, self.1).into_response()
    }
}
