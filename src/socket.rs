//! The socket of a client connection: notes what the connection is doing, and leaves out what hyper
//! says by itself.

use crate::connection::Patience;
use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::Instant,
};

/// More than hyper's response to a head that it cannot read has, and fewer than the headers of any
/// response of this server.
const REFUSAL_BYTES_MAX: usize = 200;

/// What a connection is doing, and since when.
#[derive(Clone, Copy, Debug)]
pub enum Doing {
    /// Waiting for a request, or taking its answer; since the last sign of life.
    Idle(Instant),
    /// Sending a request's head; since its first byte.
    Asking(Instant),
    /// Waiting for us. A handler has time limits of its own.
    Served,
}

#[derive(Clone, Debug)]
pub struct Note(Arc<Mutex<Doing>>);

impl Default for Note {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Doing::Idle(Instant::now()))))
    }
}

impl Note {
    pub fn get(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When patience ends, if nothing changes.
    pub fn deadline(&self, patience: Patience) -> Option<Instant> {
        match *self.get() {
            Doing::Idle(since) => Some(since + patience.idle),
            Doing::Asking(since) => Some(since + patience.head),
            Doing::Served => None,
        }
    }
}

/// A socket that notes what passes through it, and leaves out what hyper says by itself.
pub struct Watched {
    stream: TcpStream,
    note: Note,
}

impl Watched {
    pub const fn new(stream: TcpStream, note: Note) -> Self {
        Self { stream, note }
    }

    pub fn into_inner(self) -> TcpStream {
        self.stream
    }

    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mut doing = self.note.get();
        if matches!((&result, *doing), (Poll::Ready(Ok(_)), Doing::Idle(_))) {
            *doing = Doing::Idle(Instant::now());
        }
        result
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let mut doing = self.note.get();
        if matches!(*doing, Doing::Idle(_)) && buffer.filled().len() > before {
            *doing = Doing::Asking(Instant::now());
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
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

/// Whether this is hyper's own response to a head that it cannot read, in whose place
/// `connection.rs` sends one that says why. All others are longer and end with a body, in JSON,
/// which has no empty line.
fn is_refusal_of_hyper(bytes: &[u8]) -> bool {
    bytes.len() < REFUSAL_BYTES_MAX
        && bytes.starts_with(b"HTTP/1.")
        && bytes.get(8..10) == Some(b" 4")
        && bytes.ends_with(b"\r\n\r\n")
}
