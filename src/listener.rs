//! A socket to listen on, for IPv6 and IPv4 where it is for every address.

use socket2::SockRef;
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

#[derive(Debug)]
pub struct Listener(TcpListener);

impl Listener {
    /// Listens on an address. `[::]` is every address of both families, or of IPv4 alone on a host
    /// without IPv6.
    ///
    /// # Errors
    /// When the address is in use or not this machine's.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let every = address.ip() == Ipv6Addr::UNSPECIFIED;
        match listen(address) {
            Err(error) if every && lacks_ipv6(&error) => {
                listen((Ipv4Addr::UNSPECIFIED, address.port()).into())
            }
            listener => listener,
        }
        .map(Self)
    }

    /// Waits for a client. One that came by IPv4 has its address of IPv4, also on a socket of both.
    ///
    /// # Errors
    /// When the system has no connection to give.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        let (stream, client) = self.0.accept().await?;
        Ok((stream, SocketAddr::new(client.ip().to_canonical(), client.port())))
    }

    /// The address with the port that was really taken.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6()? } else { TcpSocket::new_v4()? };
    socket.set_reuseaddr(true)?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        // The system's default may be another (net.ipv6.bindv6only).
        SockRef::from(&socket).set_only_v6(false)?;
    }
    socket.bind(address)?;
    // As many as the system allows may wait to be accepted.
    socket.listen(u32::MAX)
}

/// Whether listening failed because the host has no IPv6: no such sockets, or no such addresses.
fn lacks_ipv6(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || TcpSocket::new_v6().is_err()
}
