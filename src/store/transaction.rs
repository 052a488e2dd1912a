//! The transaction that stores a batch on MySQL, as one packet.
//!
//! A batch takes its ids under the lock of the sequence's only row and holds it until the commit,
//! so that messages become visible in the order of their ids, whichever server stores them. All
//! batches of all servers wait for that lock. Therefore the whole transaction is one packet: once
//! it has arrived, the database finishes it alone, even if this server is paused, killed or cut off
//! meanwhile. Prepared statements cannot be sent like that, so values are literals, and all of them
//! are hexadecimal: that has one meaning under every `sql_mode` and character set.

use super::{
    database::Inserted,
    error::{InsertError, Trouble},
    migrate,
};
use crate::{
    message::{MessageId, NewMessage},
    telemetry::Statement,
};
use data_encoding::HEXLOWER;
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Either, Executor, MySqlConnection, Row, mysql::MySqlRow};
use std::fmt::Write;
use tracing::warn;

/// What traces show of it, on both databases.
pub const INSERT: Statement = Statement {
    operation: "INSERT",
    table: "messages",
    text: "insert into messages (id, dedup, user, text, created_at) values (?, ?, ?, ?, ?)",
};

/// A statement that fails ends the packet early, with its locks held until this server closes the
/// connection. If the server is paused or cut off just then, the database closes it after a second.
const BEGIN: &str = "set session wait_timeout = 1; start transaction;";

/// Which statement of a packet, counted from 0, inserts the names of new users, if there are any.
const NAMES: usize = 2;

/// Takes the sequence's lock.
const LOCK: &str = "select last_id from message_sequence where id = 1 for update;";

/// Chooses the ids and the time. The ids are larger than those of all committed messages, also of
/// those that an operator inserted by hand or restored from a dump.
const CHOOSE: &str = "set @last_id = (select greatest(last_id, \
     (select coalesce(max(id), 0) from messages)) from message_sequence where id = 1), \
     @created_at = (select greatest(last_created_at, utc_timestamp(3)) \
     from message_sequence where id = 1);";

/// Makes the choice the sequence's new state and returns it. Vitess knows no `= default`.
const ADVANCE: (&str, &str) = (
    "update message_sequence set last_created_at = @created_at, last_id = @last_id + ",
    " where id = 1; select last_id, last_created_at from message_sequence where id = 1; \
     commit; set session wait_timeout = @@global.wait_timeout",
);

/// The most bytes that a packet has besides its messages.
const FIXED_BYTES_MAX: usize = 2_048;

/// The most messages in a packet. More do not make it faster: from about a hundred on, the rows
/// cost more than the commit that they share.
const MESSAGES_MAX: usize = 256;

/// The most bytes in a packet. The longest text takes half of it.
const PACKET_BYTES_MAX: usize = 1024 * 1024;

/// How many of these messages one packet holds.
pub fn fitting<'a>(
    messages: impl Iterator<Item = &'a NewMessage>,
    packet_bytes_max: usize,
) -> usize {
    let room = packet_bytes_max.min(PACKET_BYTES_MAX);
    let sizes = messages.take(MESSAGES_MAX).scan(FIXED_BYTES_MAX, |sum, message| {
        *sum += packet_bytes(message);
        Some(*sum)
    });
    sizes.take_while(|size| *size <= room).count()
}

/// The most bytes that a message adds to a packet, its user's name included.
fn packet_bytes(message: &NewMessage) -> usize {
    128 + 4 * message.user.as_str().len() + 2 * message.text.as_str().len()
}

/// Stores messages, and these names: all or nothing. After an error the connection may hold locks,
/// so it has to be closed.
pub async fn insert(
    connection: &mut MySqlConnection,
    batch: &[&NewMessage],
    new_names: &[&str],
) -> Result<Inserted, InsertError> {
    let packet = AssertSqlSafe(packet(batch, new_names));
    let mut results = connection.fetch_many(sqlx::raw_sql(packet));
    let mut statements = 0;
    let mut rows: Vec<MySqlRow> = Vec::new();
    loop {
        match results.try_next().await {
            Ok(Some(Either::Left(_))) => {
                statements += 1;
                if rows.is_empty() && statements > NAMES + usize::from(!new_names.is_empty()) {
                    return Err(migrate::not_migrated().into()); // The sequence has no row.
                }
            }
            Ok(Some(Either::Right(row))) => rows.push(row),
            Ok(None) => break,
            Err(error)
                if statements == NAMES
                    && !new_names.is_empty()
                    && Trouble::of(&error) == Some(Trouble::Locked) =>
            {
                return Err(InsertError::NameLocked(error));
            }
            Err(error) => return Err(error.into()),
        }
    }
    let [before, after] = rows.as_slice() else { return Err(sqlx::Error::RowNotFound.into()) };
    let (before, last_id): (MessageId, MessageId) = (before.try_get(0)?, after.try_get(0)?);
    let first_id = last_id + 1 - batch.len().cast_signed() as i64;
    if first_id > before + 1 {
        warn!(
            message.id = first_id,
            message_sequence.last_id = before,
            "Messages were inserted beside the servers; new ids follow theirs"
        );
    }
    Ok(Inserted { first_id, created_at: after.try_get(1)? })
}

fn packet(batch: &[&NewMessage], new_names: &[&str]) -> String {
    let bytes: usize = batch.iter().map(|message| packet_bytes(message)).sum();
    let mut sql = String::with_capacity(FIXED_BYTES_MAX + bytes);
    sql.push_str(BEGIN);
    for (index, name) in new_names.iter().enumerate() {
        // Leaves out the names that another session has stored meanwhile.
        sql.push_str(if index == 0 { "insert ignore into users (name) values (" } else { ",(" });
        push_text(&mut sql, name);
        sql.push(')');
    }
    sql.push_str(if new_names.is_empty() { "" } else { ";" });
    sql.push_str(LOCK);
    sql.push_str(CHOOSE);
    sql.push_str("insert into messages (id, dedup, user, text, created_at) values ");
    for (index, message) in batch.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        // Writing to a `String` cannot fail.
        let _ = write!(sql, "{separator}(@last_id+{},x'", index + 1);
        HEXLOWER.encode_append(message.dedup.as_bytes(), &mut sql);
        sql.push_str("',");
        push_text(&mut sql, message.user.as_str());
        sql.push(',');
        push_text(&mut sql, message.text.as_str());
        sql.push_str(",@created_at)");
    }
    let _ = write!(sql, ";{}{}{}", ADVANCE.0, batch.len(), ADVANCE.1);
    sql
}

fn push_text(sql: &mut String, text: &str) {
    sql.push_str("_utf8mb4 x'");
    HEXLOWER.encode_append(text.as_bytes(), sql);
    sql.push('\'');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Text, UserName};

    /// How many messages each packet has when texts of these sizes wait.
    fn packets(sizes: &[usize], packet_bytes_max: usize) -> Vec<usize> {
        let message =
            |size: &usize| NewMessage::new(UserName::parse("bob").unwrap(), text(*size), None);
        let messages: Vec<_> = sizes.iter().map(message).collect();
        let (mut rest, mut packets) = (messages.as_slice(), Vec::new());
        while !rest.is_empty() {
            let count = fitting(rest.iter(), packet_bytes_max).max(1);
            let batch: Vec<_> = rest[..count].iter().collect();
            let length = packet(&batch, &["bob"]).len();
            assert!(length < packet_bytes_max.min(PACKET_BYTES_MAX), "{length}");
            packets.push(count);
            rest = &rest[count..];
        }
        packets
    }

    fn text(size: usize) -> Text {
        Text::parse("x".repeat(size)).unwrap()
    }

    #[test]
    fn a_packet_has_a_limited_number_of_messages() {
        assert_eq!(packets(&[10; 600], usize::MAX), [256, 256, 88]);
    }

    #[test]
    fn a_packet_has_a_limited_number_of_bytes() {
        assert_eq!(packets(&[60_000; 20], usize::MAX), [8, 8, 4]);
        assert_eq!(packets(&[10_000; 7], 64 * 1024), [3, 3, 1]);
    }

    #[test]
    fn the_longest_text_fits_and_a_shorter_limit_is_noticed() {
        let text = Text::parse("🦀".repeat(crate::message::TEXT_CHARS_MAX)).unwrap();
        let user = UserName::parse(&"🦀".repeat(crate::message::USER_CHARS_MAX)).unwrap();
        let message = NewMessage::new(user, text, None);
        assert_eq!(fitting([&message].into_iter(), PACKET_BYTES_MAX), 1);
        assert_eq!(fitting([&message].into_iter(), 512 * 1024), 0);
    }
}
