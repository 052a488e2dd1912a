//! The floor of new ids on MySQL: none is used again after its message was deleted.
//!
//! A batch takes the ids after the newest message. If that one is deleted, they must still be
//! larger than its id: clients that have read it ask for what comes after it. So the newest id is
//! recorded in `message_sequence`, within a second after its post, and new ids are above it.

use crate::message::MessageId;
use sqlx::{FromRow, MySqlConnection, query, query_as, query_scalar, raw_sql};
use tracing::warn;

/// Reads all tables and columns, however full they are.
macro_rules! look {
    () => {
        "select coalesce((select max(id) from messages), 0), \
         (select max(last_id) from message_sequence), \
         exists (select dedup, user, text, created_at from messages), \
         exists (select name from users)"
    };
}

const RECORD: &str = "insert into message_sequence (id, last_id, last_created_at) \
     values (1, ?, utc_timestamp(3)) \
     on duplicate key update last_id = greatest(last_id, ?), last_created_at = utc_timestamp(3)";

/// The ids that a probe has found.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ids {
    newest: MessageId,
    recorded: Option<MessageId>,
}

impl Ids {
    /// All new ids are larger.
    pub fn floor(self) -> MessageId {
        self.newest.max(self.recorded.unwrap_or_default())
    }

    pub fn are_recorded(self) -> bool {
        self.recorded.unwrap_or_default() >= self.newest
    }
}

/// Fails unless everything that requests need can be read. On a node of a cluster whose reads wait
/// for the other nodes, this one does not: a node that lags behind is slow, but not unready.
pub async fn look(connection: &mut MySqlConnection, waits_for_cluster: bool) -> sqlx::Result<Ids> {
    let (newest, recorded, ..): (_, _, i64, i64) = if waits_for_cluster {
        let packet = concat!(
            "set session wsrep_sync_wait = 0;",
            look!(),
            ";set session wsrep_sync_wait = 1"
        );
        let rows = raw_sql(packet).fetch_all(connection).await?;
        FromRow::from_row(rows.first().ok_or(sqlx::Error::RowNotFound)?)?
    } else {
        query_as(look!()).fetch_one(connection).await?
    };
    Ok(Ids { newest, recorded })
}

/// Records the newest id.
pub async fn record(connection: &mut MySqlConnection, ids: Ids) -> sqlx::Result<()> {
    query(RECORD).bind(ids.newest).bind(ids.newest).execute(&mut *connection).await?;
    // Servers leave no gaps, so a gap shows that a person inserted or deleted messages.
    let Some(recorded) = ids.recorded else { return Ok(()) };
    let messages: i64 = query_scalar("select count(*) from messages where id > ? and id <= ?")
        .bind(recorded)
        .bind(ids.newest)
        .fetch_one(connection)
        .await?;
    if messages < ids.newest - recorded {
        warn!(
            message_sequence.last_id = recorded,
            message.id = ids.newest,
            "Messages were inserted or deleted by hand; new ids follow the newest message"
        );
    }
    Ok(())
}
