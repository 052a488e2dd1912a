//! A port to listen on, for both IPv6 and IPv4 if the address is unspecified.

use anyhow::Context;
use socket2::SockRef;
use std::{
    io, iter,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A port that is bound but not open yet: the system refuses connections to it.
#[derive(Debug)]
pub struct Port {
    /// The setting that contains the address.
    setting: &'static str,
    socket: TcpSocket,
}

impl Port {
    /// Binds the port of an address. `[::]` means every address of both families, or of IPv4 only
    /// on a host without IPv6.
    ///
    /// # Errors
    /// If the address is in use or does not belong to this machine.
    pub fn take(setting: &'static str, address: SocketAddr) -> anyhow::Result<Self> {
        let every = address.ip() == Ipv6Addr::UNSPECIFIED;
        let socket = match bind(address) {
            Err(error) if every && lacks_ipv6(&error) => {
                bind((Ipv4Addr::UNSPECIFIED, address.port()).into())
            }
            socket => socket,
        };
        let socket = socket.with_context(|| format!("{setting}: cannot listen on {address}"))?;
        Ok(Self { setting, socket })
    }

    /// Opens the port.
    ///
    /// # Errors
    /// If another process has opened it since it was bound.
    pub fn open(self) -> anyhow::Result<Listener> {
        let (setting, address) = (self.setting, self.local_addr()?);
        // The longest backlog that the system allows.
        let listener = self.socket.listen(u32::MAX);
        listener.map(Listener).with_context(|| format!("{setting}: cannot listen on {address}"))
    }

    /// The address with the actual port.
    ///
    /// # Errors
    /// If the system does not report it.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Waits for a client. The address of an IPv4 client is IPv4, even on a dual-stack socket.
    ///
    /// # Errors
    /// If the system cannot accept a connection.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, client) = self.0.accept().await?;
        Ok((stream, canonical(client)))
    }

    /// Closes the port and returns the clients that have already connected, so that they get a
    /// response and not a reset. The runtime may not know of them yet, so this asks the system.
    pub fn close(self) -> Vec<(TcpStream, SocketAddr)> {
        let Ok(listener) = self.0.into_std() else { return Vec::new() };
        let waiting = iter::from_fn(|| listener.accept().ok());
        let waiting = waiting.filter_map(|(stream, client)| {
            stream.set_nonblocking(true).ok()?;
            Some((TcpStream::from_std(stream).ok()?, canonical(client)))
        });
        waiting.collect()
    }
}

fn canonical(client: SocketAddr) -> SocketAddr {
    SocketAddr::new(client.ip().to_canonical(), client.port())
}

fn bind(address: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    socket.set_reuseaddr(true)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // The system's default may differ (net.ipv6.bindv6only).
        SockRef::from(&socket).set_only_v6(false)?;
    }
    socket.bind(address)?;
    Ok(socket)
}

/// Whether the error means that the host has no IPv6 sockets or no IPv6 addresses.
fn lacks_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || TcpSocket::new_v6().is_err()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_client_of_whom_the_runtime_has_not_heard_is_not_left_behind() {
        let port = Port::take("LISTEN_ADDR", (Ipv6Addr::UNSPECIFIED, 0).into()).unwrap();
        let address = (Ipv4Addr::LOCALHOST, port.local_addr().unwrap().port());
        assert!(std::net::TcpStream::connect(address).is_err(), "refused until it is open");
        let listener = port.open().unwrap();
        assert!(listener.accept().now_or_never().is_none());
        let client = std::net::TcpStream::connect(address).unwrap();
        assert!(listener.accept().now_or_never().is_none(), "the runtime had no turn");
        let waiting: Vec<_> = listener.close().into_iter().map(|(_, client)| client).collect();
        assert_eq!(waiting, [client.local_addr().unwrap()]);
    }
}
