//! A network between server and database that a test can break.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
    sync::watch,
    time::sleep,
};
use url::Url;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    Works,
    /// Connections break, and new ones break at once.
    Cut,
    /// Each direction takes this long.
    Slow(Duration),
    /// Connections stay open and nothing passes, as with a peer that vanished.
    Silent,
    /// New connections are accepted and nothing passes. The open ones work.
    SilentForNew,
}

pub struct Proxy {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    network: watch::Sender<State>,
}

/// How the network is, and how often it has failed in each way: a connection from before a cut
/// breaks, and one from before a silence never comes to speak again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    network: Network,
    cuts: u64,
    silences: u64,
}

impl Proxy {
    /// Forwards to the host and port of a URL.
    pub async fn to(url: &Url) -> Self {
        Self::at("127.0.0.1:0", url).await
    }

    /// The same from another address.
    pub async fn at(address: &str, url: &Url) -> Self {
        let target = format!("{}:{}", url.host_str().unwrap(), url.port().unwrap());
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let network = watch::Sender::new(State { network: Network::Works, cuts: 0, silences: 0 });
        let states = network.subscribe();
        let connections = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(connect(client, target.clone(), states.clone()));
            }
        });
        Self { address, connections, network }
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    pub fn set(&self, network: Network) {
        self.network.send_modify(|state| {
            state.network = network;
            state.cuts += u64::from(network == Network::Cut);
            state.silences += u64::from(network == Network::Silent);
        });
    }

    /// Breaks every connection; new ones work.
    pub fn blink(&self) {
        self.set(Network::Cut);
        self.set(Network::Works);
    }

    /// The same database by way of this proxy.
    pub fn url(&self, url: &Url) -> String {
        let mut url = url.clone();
        url.set_port(Some(self.address.port())).unwrap();
        url.into()
    }
}

async fn connect(client: TcpStream, target: String, mut states: watch::Receiver<State>) {
    let State { network, cuts, .. } = *states.borrow();
    if network == Network::Cut {
        return;
    }
    if network == Network::SilentForNew {
        let _ = states.wait_for(|state| state.network != network).await;
        return;
    }
    let Ok(server) = TcpStream::connect(target).await else { return };
    if let Network::Slow(delay) = network {
        // TCP's own round trip.
        sleep(2 * delay).await;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pump(from_client, to_server, states.clone()) => {}
        () = pump(from_server, to_client, states.clone()) => {}
        _ = states.wait_for(|state| state.cuts > cuts) => {}
    }
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, states: watch::Receiver<State>) {
    let at_first = *states.borrow();
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let now = *states.borrow();
        if now.network == Network::Silent || now.silences > at_first.silences {
            std::future::pending::<()>().await;
        }
        if let Network::Slow(delay) = now.network {
            sleep(delay).await;
        }
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
