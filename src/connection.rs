//! One client connection: HTTP/1.1 on it, and how long it may keep us waiting.
//!
//! hyper has a time limit for a request's head, but the same one runs while a kept-alive connection
//! is idle, where load balancers need a much longer one. So the limits are kept here: the socket
//! and the service note what the connection is doing, and a timer looks at the note when it could
//! have run out.

use crate::{api, framing, health::Health};
use futures_util::FutureExt;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use poem::{
    Request, Response,
    http::{HeaderValue, header, uri::Scheme},
    web::{LocalAddr, RemoteAddr},
};
use std::{
    convert::Infallible,
    future::poll_fn,
    io,
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf, join},
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout},
};

/// Most bytes of a request's head, which is also all that hyper buffers of a body ahead of us.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Most bytes that are read and thrown away after the last answer, for clients that read no answer
/// before they have sent everything: closing at once would reset the connection under the answer.
const LINGER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long that may take.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long to look for a request that has arrived, before an idle connection is closed for
/// stopping.
const FAREWELL: Duration = Duration::from_millis(100);

/// How long a connection may keep the server waiting.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the first byte of a request's head to its last.
    pub head: Duration,
    /// Without a request, or without reading its answer.
    pub idle: Duration,
}

/// What a connection is doing, and since when.
#[derive(Clone, Copy, Debug)]
enum Doing {
    /// Waiting for a request, or taking its answer; since the last sign of life.
    Idle(Instant),
    /// Sending a request's head; since its first byte.
    Asking(Instant),
    /// Waiting for us. A handler has time limits of its own.
    Served,
}

#[derive(Clone, Debug)]
struct Note(Arc<Mutex<Doing>>);

impl Note {
    fn get(&self) -> MutexGuard<'_, Doing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When patience ends, if nothing changes.
    fn deadline(&self, patience: Patience) -> Option<Instant> {
        match *self.get() {
            Doing::Idle(since) => Some(since + patience.idle),
            Doing::Asking(since) => Some(since + patience.head),
            Doing::Served => None,
        }
    }
}

/// Serves a connection until its client leaves, its time is over, or `stop` resolves and the
/// requests under way are answered. Returns the socket when the last answer is written, for
/// [`linger`].
pub async fn serve<F: Future<Output = Response> + Unpin>(
    stream: TcpStream,
    peer: SocketAddr,
    answer: impl Fn(Request) -> F,
    health: &Health,
    keep_alive: bool,
    patience: Patience,
    stop: impl Future<Output = ()>,
) -> Option<TcpStream> {
    let local = stream.local_addr().ok()?;
    // Small answers must not wait for the acknowledgement of the ones before them.
    let _ = stream.set_nodelay(true);
    let note = Note(Arc::new(Mutex::new(Doing::Idle(Instant::now()))));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        *note.get() = Doing::Served;
        let (local, remote) = (LocalAddr(local.into()), RemoteAddr(peer.into()));
        let fault = framing::fault(&request);
        let mut request = Request::from((request, local, remote, Scheme::HTTP));
        if let Some(fault) = fault {
            request.set_data(fault);
        }
        let note = &note;
        answer(request).map(move |mut response| {
            if health.draining_since().is_some() {
                // The client shall send its next request to another server.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            *note.get() = Doing::Idle(Instant::now());
            Ok::<_, Infallible>(hyper::Response::from(response))
        })
    });
    let stream = Watched { stream, note: note.clone() };
    let mut connection = http1::Builder::new()
        .keep_alive(keep_alive)
        // Who has nothing more to send may still want the answer.
        .half_close(true)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);

    let mut stop = pin!(async {
        stop.await;
        // A request that has arrived but was not read yet would be lost: hyper closes at once where
        // it has read nothing.
        sleep(FAREWELL).await;
    });
    let mut stopping = false;
    let mut timer = pin!(sleep_until(Instant::now() + patience.idle));
    let served = poll_fn(|cx| {
        if !stopping && stop.as_mut().poll(cx).is_ready() {
            stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
            return Poll::Ready(Some(result));
        }
        // The timer is only ever moved when it would ring too late, or has rung too early; so a
        // busy connection hardly touches it.
        while let Some(deadline) = note.deadline(patience) {
            if deadline < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(deadline);
            }
            ready!(timer.as_mut().poll(cx));
            if deadline <= Instant::now() {
                return Poll::Ready(None);
            }
        }
        Poll::Pending
    })
    .await;
    let parts = connection.into_parts();
    let stream = parts.io.into_inner().stream;
    if let Some(result) = served {
        return result.ok().map(|()| stream);
    }
    // While a head is read, hyper has nothing left to write. A line end alone does not begin one:
    // old clients send it after a body.
    let asking = matches!(*note.get(), Doing::Asking(_));
    if asking && !parts.read_buf.trim_ascii().is_empty() {
        // In a box, because every connection would otherwise have room for it.
        return Some(Box::pin(refuse_late_head(stream, patience.head)).await);
    }
    None
}

/// Tells a client that the head of its request took too long. hyper writes the response, as it
/// writes all others, to a request that has arrived.
async fn refuse_late_head(mut stream: TcpStream, limit: Duration) -> TcpStream {
    let stand_in = &b"GET / HTTP/1.1\r\n\r\n"[..];
    let service =
        service_fn(
            |_| async move { Ok::<_, Infallible>(hyper::Response::from(api::late_head(limit))) },
        );
    let response = http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(join(stand_in, &mut stream)), service);
    let _ = timeout(LINGER_TIMEOUT, response).await;
    stream
}

/// Says that nothing more comes, then waits a little until the client has said so too.
pub async fn linger(mut stream: TcpStream) {
    let _ = stream.shutdown().await;
    let drain = async {
        let mut left = LINGER_BYTES_MAX;
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(read @ 1..) = stream.read(&mut buffer).await {
            left = match left.checked_sub(read) {
                Some(left) => left,
                None => return,
            };
        }
    };
    let _ = timeout(LINGER_TIMEOUT, drain).await;
}

/// A socket that notes what passes through it.
struct Watched {
    stream: TcpStream,
    note: Note,
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

impl Watched {
    fn wrote(&self, result: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let mut doing = self.note.get();
        if matches!((&result, *doing), (Poll::Ready(Ok(_)), Doing::Idle(_))) {
            *doing = Doing::Idle(Instant::now());
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let result = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.wrote(result)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
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
