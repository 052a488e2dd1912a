//! How far the ids have come on MySQL, so that none is given out again after its message was
//! deleted.
//!
//! A batch takes the ids after the newest message. If that one is deleted, they must still be
//! larger than its id: clients that have read it ask for what comes after it. So the newest id is
//! recorded in `message_sequence`, within a second after its post, and new ids are above it.

use crate::message::MessageId;
use sqlx::{MySqlConnection, query, query_as, query_scalar};
use time::OffsetDateTime;
use tracing::warn;

const NEWEST: &str = "select id, created_at, (select max(last_id) from message_sequence) \
     from messages order by id desc limit 1";

const RECORD: &str = "insert into message_sequence (id, last_id, last_created_at) values (1, ?, ?) \
     on duplicate key update last_created_at = values(last_created_at), \
     last_id = greatest(last_id, values(last_id))";

/// Records the newest message, if that is not done yet, and returns its id.
pub async fn keep(connection: &mut MySqlConnection) -> sqlx::Result<Option<MessageId>> {
    let newest: Option<(MessageId, OffsetDateTime, Option<MessageId>)> =
        query_as(NEWEST).fetch_optional(&mut *connection).await?;
    let Some((newest_id, created_at, recorded)) = newest else { return Ok(None) };
    if recorded >= Some(newest_id) {
        return Ok(None);
    }
    query(RECORD).bind(newest_id).bind(created_at).execute(&mut *connection).await?;
    // Servers leave no gaps, so a gap shows that a person inserted or deleted messages.
    let Some(recorded) = recorded else { return Ok(Some(newest_id)) };
    let messages: i64 = query_scalar("select count(*) from messages where id > ? and id <= ?")
        .bind(recorded)
        .bind(newest_id)
        .fetch_one(connection)
        .await?;
    if messages < newest_id - recorded {
        warn!(
            message_sequence.last_id = recorded,
            message.id = newest_id,
            "Messages were inserted or deleted by hand; new ids follow the newest message"
        );
    }
    Ok(Some(newest_id))
}
