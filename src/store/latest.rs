//! The newest messages, by a shared read.

use super::{page::Page, session::Session, shared_read::Source};
use crate::message::{Message, MessageId};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// How many of the newest messages a shared read has.
pub const LATEST_MAX: u32 = 100;

/// How often everything is read, however little seems to have changed. What is deleted or changed
/// by hand is gone within this time.
const READ_ALL_EVERY: Duration = Duration::from_secs(1);

/// The newest messages, the newest first.
pub type Latest = Vec<Arc<Message>>;

/// Reads the newest messages, and of those only what is new: ids become visible in their order, so
/// nothing can appear below the newest known message.
#[derive(Debug)]
pub struct LatestMessages {
    session: Session,
    /// What the last read found, and when everything was read.
    last: Option<(Arc<Latest>, Instant)>,
}

impl LatestMessages {
    pub const fn new(session: Session) -> Self {
        Self { session, last: None }
    }

    /// Keeps a page that has all of the newest messages.
    fn all_read(&mut self, page: Vec<Message>) -> Arc<Latest> {
        let latest = match self.last.take() {
            Some((last, _)) if is_same(&page, &last) => last,
            _ => Arc::new(page.into_iter().map(Arc::new).collect()),
        };
        self.last = Some((Arc::clone(&latest), Instant::now()));
        latest
    }
}

impl Source for LatestMessages {
    type Found = Latest;

    const NAMES: (&'static str, &'static str) = ("read latest messages", "latest_messages");

    async fn read(&mut self) -> sqlx::Result<Arc<Latest>> {
        if let Some((last, all_read_at)) = &mut self.last
            && let Some(newest_known) = last.first()
            && all_read_at.elapsed() < READ_ALL_EVERY
        {
            let mut page = self.session.messages(newest(newest_known.id - 1)).await?;
            if page.len() == LATEST_MAX as usize {
                return Ok(self.all_read(page));
            }
            // The newest known message must come back unchanged. If it does not, this is another
            // database, and everything is read again.
            if page.pop().as_ref() == Some(&**newest_known) {
                if !page.is_empty() {
                    let new = page.into_iter().map(Arc::new);
                    let old = last.iter().cloned();
                    *last = Arc::new(new.chain(old).take(LATEST_MAX as usize).collect());
                }
                return Ok(Arc::clone(last));
            }
        }
        let page = self.session.messages(newest(0)).await?;
        Ok(self.all_read(page))
    }

    fn reset(&mut self) {
        self.session.reset();
        self.last = None;
    }
}

fn is_same(page: &[Message], known: &[Arc<Message>]) -> bool {
    page.iter().eq(known.iter().map(|message| &**message))
}

const fn newest(after: MessageId) -> Page {
    Page::Newest { after, before: MessageId::MAX, limit: LATEST_MAX }
}
