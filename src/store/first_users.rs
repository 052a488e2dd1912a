//! The first user names, by a shared read.

use super::{session::Session, shared_read::Source};
use std::sync::Arc;

/// How many of the first user names a shared read has: a page, and one more to tell that there is
/// more.
pub const NAMES_MAX: u32 = 1_001;

/// The first user names in byte order.
pub type FirstNames = Vec<String>;

/// Reads the first user names.
#[derive(Debug)]
pub struct FirstUsers {
    session: Session,
    last: Option<Arc<FirstNames>>,
}

impl FirstUsers {
    pub const fn new(session: Session) -> Self {
        Self { session, last: None }
    }
}

impl Source for FirstUsers {
    type Found = FirstNames;

    const NAMES: (&'static str, &'static str) = ("read first users", "first_users");

    async fn read(&mut self) -> sqlx::Result<Arc<FirstNames>> {
        let names = self.session.users("", NAMES_MAX).await?;
        let names = match self.last.take() {
            Some(last) if *last == names => last,
            _ => Arc::new(names),
        };
        self.last = Some(Arc::clone(&names));
        Ok(names)
    }

    fn reset(&mut self) {
        self.session.reset();
        self.last = None;
    }
}
