//! How a batch is stored on MySQL: as one packet of several statements.
//!
//! The ids follow the newest committed message. Two servers that choose at the same time choose the
//! same ids, and the primary key lets only one of them commit; the other one chooses again. So
//! messages become visible in the order of their ids, whichever server stores them. Servers that
//! collide take turns for a while, by a lock that is granted in the order of arrival.
//!
//! Once a packet has arrived, the database finishes it alone, even if this server is paused, killed
//! or cut off meanwhile. Prepared statements cannot be part of a packet, so values are literals,
//! all of them hexadecimal: that has one meaning under every `sql_mode` and character set.

use crate::{
    message::{MessageId, NewMessage, USER_CHARS_MAX},
    readiness::DatabaseFault,
    store::{
        error::InsertError,
        fault::is_unique_violation,
        queries::{Inserted, up_to},
    },
    telemetry::Query,
};
use data_encoding::HEXLOWER;
use futures_util::TryStreamExt;
use sqlx::{AssertSqlSafe, Either, Executor, MySqlConnection, Row, mysql::MySqlRow};
use std::{fmt::Write, time::Duration};
use tokio::time::Instant;

pub const INSERT: Query = Query {
    operation: "INSERT",
    table: "messages",
    text: "insert into messages (id, dedup, user, text, created_at) values (?, ?, ?, ?, ?)",
};

/// Around a packet with names, and around one that takes its turn. A statement that fails ends the
/// packet early, with locks held until this server closes the connection. If it is paused or cut
/// off just then, the database closes it after a second.
const BEGIN: &str = "set session wait_timeout = 1; start transaction;";
const COMMIT: &str = "; commit; set session wait_timeout = 300";

/// Which statement of a packet, counted from 0, inserts the names of new users, if there are any.
const NAMES: usize = 2;

/// Waits for its turn.
const LOCK: &str = "select id from message_sequence where id = 1 for update;";

/// Chooses the ids and the time, which follow those of all committed messages. What goes between
/// the two is the floor of the ids (see `sequence.rs`).
const CHOOSE: (&str, &str) = (
    "set @last_id = (select greatest(coalesce(max(id), 0), ",
    ") from messages), @created_at = (select coalesce((select greatest(created_at, \
     utc_timestamp(3)) from messages order by id desc limit 1), utc_timestamp(3)));",
);

/// Returns the choice.
const CHOSEN: &str = ";select cast(@last_id as signed), cast(@created_at as datetime(3))";

/// How long batches take turns after a collision with another server.
const TURNS_FOR: Duration = Duration::from_secs(1);

/// The maximum size of a packet without its messages, in bytes.
const FIXED_BYTES_MAX: usize = 2_048;

/// The maximum size of a message without its user and text, in bytes.
const MESSAGE_BYTES: usize = 128;

/// The maximum number of messages in a packet. More do not make it faster: from about a hundred on,
/// the rows cost more than the commit that they share.
const MESSAGES_MAX: usize = 256;

/// The maximum size of a packet, in bytes. The longest text takes half of it.
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

/// The maximum number of bytes that a message adds to a packet, its user's name included.
fn packet_bytes(message: &NewMessage) -> usize {
    MESSAGE_BYTES + 4 * message.user.as_str().len() + 2 * message.text.as_str().len()
}

/// The length in bytes up to which every text fits in a packet.
pub fn text_bytes_max(packet_bytes_max: usize) -> usize {
    let room = packet_bytes_max.min(PACKET_BYTES_MAX);
    room.saturating_sub(FIXED_BYTES_MAX + MESSAGE_BYTES + 16 * USER_CHARS_MAX) / 2
}

/// Whether batches of other servers compete with those of this one.
#[derive(Debug, Default)]
pub struct Competition {
    until: Option<Instant>,
}

impl Competition {
    fn is_on(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() < until)
    }
}

/// Stores messages, and these names: all or nothing. After an error the connection may hold locks,
/// so it must be closed.
pub async fn insert(
    connection: &mut MySqlConnection,
    competition: &mut Competition,
    floor: MessageId,
    batch: &[&NewMessage],
    new_names: &[&str],
) -> Result<Inserted, InsertError> {
    let take_turns = competition.is_on();
    let packet = |take_turns| packet(floor, batch, new_names, take_turns);
    let (error, statement) = match send(connection, packet(take_turns)).await {
        Ok(inserted) => return Ok(inserted),
        Err(failed) => failed,
    };
    // Another server's batch has the ids, or some of these messages are stored. After a timeout of
    // the lock, the next batch does without it.
    let collided = is_unique_violation(&error);
    competition.until = collided.then(|| Instant::now() + TURNS_FOR);
    let waited_for_name = !new_names.is_empty() && statement == NAMES;
    if waited_for_name && DatabaseFault::of(&error) == Some(DatabaseFault::Locked) {
        return Err(InsertError::NameLocked(error));
    }
    if collided && !take_turns && new_names.is_empty() {
        // No transaction was begun, so none is open.
        return Ok(send(connection, packet(true)).await.map_err(|(error, _)| error)?);
    }
    Err(error.into())
}

/// Returns the number of the statement that failed, counted from 0, with its error.
async fn send(
    connection: &mut MySqlConnection,
    packet: String,
) -> Result<Inserted, (sqlx::Error, usize)> {
    let mut results = connection.fetch_many(sqlx::raw_sql(AssertSqlSafe(packet)));
    let (mut statements, mut chosen) = (0, None);
    loop {
        match results.try_next().await {
            Ok(Some(Either::Left(_))) => statements += 1,
            Ok(Some(Either::Right(row))) => chosen = Some(row),
            Ok(None) => break,
            Err(error) => return Err((error, statements)),
        }
    }
    let inserted = |row: MySqlRow| {
        let last_id: MessageId = row.try_get(0)?;
        Ok(Inserted { first_id: last_id + 1, created_at: row.try_get(1)? })
    };
    // It may be stored all the same, as after a lost connection.
    let cut_short = || sqlx::Error::Protocol("the answer to a batch was cut short".into());
    chosen.ok_or_else(cut_short).and_then(inserted).map_err(|error| (error, statements))
}

fn packet(floor: MessageId, batch: &[&NewMessage], new_names: &[&str], take_turns: bool) -> String {
    let bytes: usize = batch.iter().map(|message| packet_bytes(message)).sum();
    let mut sql = String::with_capacity(FIXED_BYTES_MAX + bytes);
    let in_transaction = take_turns || !new_names.is_empty();
    sql.push_str(if in_transaction { BEGIN } else { "" });
    for (index, name) in new_names.iter().enumerate() {
        // Leaves out the names that another session has stored meanwhile.
        sql.push_str(if index == 0 { "insert ignore into users (name) values (" } else { ",(" });
        push_text(&mut sql, name);
        sql.push(')');
    }
    sql.push_str(if new_names.is_empty() { "" } else { ";" });
    sql.push_str(if take_turns { LOCK } else { "" });
    // Writing to a `String` cannot fail.
    let _ = write!(sql, "{}{floor}{}", CHOOSE.0, CHOOSE.1);
    sql.push_str(up_to(&INSERT, "(?, ?, ?, ?, ?)"));
    for (index, message) in batch.iter().enumerate() {
        let separator = if index == 0 { "" } else { "," };
        let _ = write!(sql, "{separator}(@last_id+{},x'", index + 1);
        HEXLOWER.encode_append(message.dedup.as_bytes(), &mut sql);
        sql.push_str("',");
        push_text(&mut sql, message.user.as_str());
        sql.push(',');
        push_text(&mut sql, message.text.as_str());
        sql.push_str(",@created_at)");
    }
    sql.push_str(CHOSEN);
    sql.push_str(if in_transaction { COMMIT } else { "" });
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
            let length = packet(MessageId::MAX, &batch, &["bob"], true).len();
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
