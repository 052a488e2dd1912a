//! The socket of a client connection: tracks its activity, suppresses hyper's own error responses.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

/// More bytes than hyper's response to a malformed head has, and fewer than the headers of any
/// response of this server.
const REFUSAL_BYTES_MAX: usize = 200;

/// The timeouts of a connection.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// From the first byte of a request's head to the last.
    pub head: Duration,
    /// While the client sends no request or does not read the response.
    pub idle: Duration,
}

/// The state of a connection, and when it began.
#[derive(Clone, Copy, Debug)]
pub enum Activity {
    /// Waiting for a request, or sending a response; since the last progress.
    Idle(Instant),
    /// Receiving a request's head; since its first byte.
    ReadingHead(Instant),
    /// Waiting for a handler, which has its own time limits.
    Handling,
}

#[derive(Clone, Debug)]
pub struct SharedActivity(Arc<Mutex<Activity>>);

impl Default for SharedActivity {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Activity::Idle(Instant::now()))))
    }
}

impl SharedActivity {
    pub fn get(&self) -> MutexGuard<'_, Activity> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When the connection times out if its state does not change.
    pub fn deadline(&self, timeouts: Timeouts) -> Option<Instant> {
        match *self.get() {
            Activity::Idle(since) => Some(since + timeouts.idle),
            Activity::ReadingHead(since) => Some(since + timeouts.head),
            Activity::Handling => None,
        }
    }
}

/// A socket that tracks its activity and suppresses hyper's own error responses.
pub struct TrackedSocket {
    stream: TcpStream,
    activity: SharedActivity,
}

impl TrackedSocket {
    pub const fn new(stream: TcpStream, activity: SharedActivity) -> Self {
        Self { stream, activity }
    }

    pub fn into_inner(self) -> TcpStream {
        self.stream
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mut activity = self.activity.get();
        if matches!((&result, *activity), (Poll::Ready(Ok(_)), Activity::Idle(_))) {
            *activity = Activity::Idle(Instant::now());
        }
        result
    }
}

impl AsyncRead for TrackedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let mut activity = self.activity.get();
        if matches!(*activity, Activity::Idle(_)) && buffer.filled().len() > before {
            *activity = Activity::ReadingHead(Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for TrackedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if is_refusal_of_hyper(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [bytes] = bytes
            && is_refusal_of_hyper(bytes)
        {
            return Poll::Ready(Ok(bytes.len()));
        }
        let result = Pin::new(&mut self.stream).poll_write_vectored(cx, bytes);
        self.wrote(result)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

/// Whether this is hyper's own response to a malformed head, which `connection.rs` replaces with
/// one that explains the error. All others are longer and end with a JSON body, which has no empty
/// line.
fn is_refusal_of_hyper(bytes: &[u8]) -> bool {
    bytes.len() < REFUSAL_BYTES_MAX
        && bytes.starts_with(b"HTTP/1.")
        && bytes.get(8..10) == Some(b" 4")
        && bytes.ends_with(b"\r\n\r\n")
}
