//! One client connection: HTTP/1.1 and its timeouts.
//!
//! hyper's timeout for a request's head also applies to idle kept-alive connections, where load
//! balancers need a much longer one. So this module has its own timeouts: the socket and the
//! service track the activity of the connection, and a timer checks it.

use super::{
    framing,
    socket::{Activity, SharedActivity, Timeouts, TrackedSocket},
};
use crate::{
    problem::{Code, refuse_head},
    readiness::Readiness,
};
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
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Mutex, PoisonError},
    task::{Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, join},
    net::TcpStream,
    time::{Instant, sleep, sleep_until, timeout},
};

/// The maximum size of a request's head, and of the part of a body that hyper buffers.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// The maximum number of headers of a request, hyper's default.
const HEADERS_MAX: usize = 100;

/// The maximum number of bytes to discard after the last response. Some clients send everything
/// before they read, and closing at once would reset the connection before they get the response.
const LINGER_BYTES_MAX: usize = 32 * 1024 * 1024;

/// The maximum duration of that.
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// How long a shutdown waits on an idle connection for a request that has already arrived.
const FAREWELL: Duration = Duration::from_millis(100);

/// Serves a connection until its client disconnects, a timeout expires, or `stop` resolves and the
/// requests in progress are complete. Returns the socket after the last response, for [`linger`].
pub async fn run<F: Future<Output = poem::Result<Response>> + Unpin>(
    stream: TcpStream,
    peer: SocketAddr,
    answer: impl Fn(Request) -> F,
    readiness: &Readiness,
    keep_alive: bool,
    timeouts: Timeouts,
    stop: impl Future<Output = ()>,
) -> Option<TcpStream> {
    let local = stream.local_addr().ok()?;
    // Small responses must not wait for the acknowledgement of earlier ones.
    let _ = stream.set_nodelay(true);
    let activity = SharedActivity::default();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        *activity.get() = Activity::Handling;
        let (local, remote) = (LocalAddr(local.into()), RemoteAddr(peer.into()));
        let fault = framing::fault(&request);
        let mut request = Request::from((request, local, remote, Scheme::HTTP));
        if let Some(fault) = fault {
            request.set_data(fault);
        }
        let activity = &activity;
        answer(request).map(move |response| {
            let mut response = response.unwrap_or_else(poem::Error::into_response);
            if readiness.draining_since().is_some() {
                // The client should send its next request to another server.
                let close = HeaderValue::from_static("close");
                response.headers_mut().insert(header::CONNECTION, close);
            }
            *activity.get() = Activity::Idle(Instant::now());
            Ok::<_, Infallible>(hyper::Response::from(response))
        })
    });
    let stream = TrackedSocket::new(stream, activity.clone());
    let mut connection = http1::Builder::new()
        .keep_alive(keep_alive)
        // A client that has closed its sending side may still wait for the response.
        .half_close(true)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_header_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);

    let mut stop = pin!(async {
        stop.await;
        // hyper closes a connection at once if it has read nothing, and would lose a request that
        // has arrived but was not read yet.
        sleep(FAREWELL).await;
    });
    let mut stopping = false;
    let mut timer = pin!(sleep_until(Instant::now() + timeouts.idle));
    let served = poll_fn(|cx| {
        if !stopping && stop.as_mut().poll(cx).is_ready() {
            stopping = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if let Poll::Ready(result) = connection.poll_without_shutdown(cx) {
            return Poll::Ready(Some(result));
        }
        // The timer is only reset if it would expire too late or has expired too early, so a busy
        // connection rarely resets it.
        while let Some(deadline) = activity.deadline(timeouts) {
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
    let stream = parts.io.into_inner().into_inner();
    let refusal = match served {
        Some(Ok(())) => return Some(stream),
        Some(Err(error)) => unreadable_head(&error)?,
        None => late_head(*activity.get(), &parts.read_buf, timeouts)?,
    };
    // Boxed, because it would otherwise enlarge the future of every connection.
    Some(Box::pin(refuse(stream, refusal)).await)
}

/// Returns the response to a head that hyper cannot parse. hyper's own response has no body.
fn unreadable_head(error: &hyper::Error) -> Option<Response> {
    let (code, detail) = if error.is_parse_too_large() {
        let most = format!("{HEAD_BYTES_MAX} bytes and {HEADERS_MAX} headers");
        (Code::HeadTooLarge, format!("A head may have at most {most}."))
    } else if error.is_parse() {
        (Code::MalformedRequest, format!("The request head is malformed: {error}."))
    } else {
        return None;
    };
    Some(refuse_head(code, detail))
}

/// Returns the response to a head that was not complete in time, if one has begun. A line end does
/// not begin one, because old clients send it after a body. hyper has no pending writes then.
fn late_head(activity: Activity, read: &[u8], timeouts: Timeouts) -> Option<Response> {
    let has_begun = matches!(activity, Activity::ReadingHead(_)) && !read.trim_ascii().is_empty();
    has_begun.then(|| {
        let detail = format!("The request head did not arrive within {:?}.", timeouts.head);
        refuse_head(Code::RequestTimeout, detail)
    })
}

/// Sends a response without a request: hyper writes it as the response to a stand-in request.
async fn refuse(mut stream: TcpStream, response: Response) -> TcpStream {
    let stand_in = &b"GET / HTTP/1.1\r\n\r\n"[..];
    let response = Mutex::new(Some(response));
    let service = service_fn(|_| {
        let response = response.lock().unwrap_or_else(PoisonError::into_inner).take();
        async { Ok::<_, Infallible>(hyper::Response::from(response.unwrap_or_default())) }
    });
    let sent = http1::Builder::new()
        .half_close(true)
        .serve_connection(TokioIo::new(join(stand_in, &mut stream)), service);
    let _ = timeout(LINGER_TIMEOUT, sent).await;
    stream
}

/// Closes the sending side, then waits briefly until the client closes its own.
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
