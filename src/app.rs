//! The lifecycle of the server: bind the ports, wait for the database, open, serve, drain.

use crate::{
    address_file::AddressFile,
    api::{self, ApiState, RequestLimits},
    config::{Config, DatabaseUrl, Migrate},
    gauges,
    http::{self, ConnectionLimits, Connections, Port, Service, Timeouts},
    problem::Code,
    readiness::Readiness,
    stats::Stats,
    store::{Store, StoreOptions},
    telemetry,
};
use prometheus::Registry;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// The maximum time for canceled requests to observe their cancellation.
const CUT_OFF_MAX: Duration = Duration::from_millis(100);

/// How long the public port stays closed while the database is not ready. A proxy retries a refused
/// connection on another server but passes on a 503. Without another server, a 503 with a reason is
/// better than no response.
const SHUT_MAX: Duration = Duration::from_secs(2);

/// The ports to serve on, bound first so that a port in use is reported at once.
pub struct Listeners {
    public: Port,
    ops: Option<Port>,
    address_file: Option<AddressFile>,
}

impl Listeners {
    /// # Errors
    /// If an address is in use or does not belong to this machine, or `ADDRESS_FILE` cannot be
    /// written.
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        let public = Port::take("LISTEN_ADDR", config.listen_addr)?;
        let ops = config.ops_addr.map(|address| Port::take("OPS_ADDR", address)).transpose()?;
        let address_file = config.address_file.as_deref().map(AddressFile::create).transpose()?;
        Ok(Self { public, ops, address_file })
    }

    /// The public address with the actual port.
    ///
    /// # Errors
    /// If the system does not report it.
    pub fn public_addr(&self) -> std::io::Result<SocketAddr> {
        self.public.local_addr()
    }

    /// The address of the operations endpoints, if they have their own.
    pub fn ops_addr(&self) -> Option<SocketAddr> {
        self.ops.as_ref().and_then(|port| port.local_addr().ok())
    }
}

/// Serves until `stop` resolves, then drains.
///
/// # Errors
/// If a setting cannot be used. Later failures are retried.
pub async fn run(
    config: &Config,
    url: &DatabaseUrl,
    listeners: Listeners,
    registry: &Registry,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let server = Server::new(config, url, registry)?;
    let mut running = server.start(config, listeners)?;
    tokio::select! {
        () = stop => {}
        reason = &mut running.keeper => anyhow::bail!("{}: {}", url.setting, reason?),
        ended = &mut running.public => return ended?,
    }
    server.drain(config, running).await;
    Ok(())
}

/// The parts of a server, wired but not started.
struct Server {
    readiness: Arc<Readiness>,
    store: Arc<Store>,
    stats: Arc<Stats>,
    limits: ConnectionLimits,
    connections: Arc<Connections>,
    /// Limits the connections of clients above the limit.
    refusals: Arc<Semaphore>,
}

/// The tasks of a running server.
struct Running {
    public: JoinHandle<anyhow::Result<()>>,
    ops: Option<JoinHandle<()>>,
    keeper: JoinHandle<String>,
    history: JoinHandle<()>,
    stop_public: CancellationToken,
    stop_ops: CancellationToken,
}

impl Server {
    fn new(config: &Config, url: &DatabaseUrl, registry: &Registry) -> anyhow::Result<Self> {
        let readiness = Arc::new(Readiness::default());
        let store = open_store(config, url, &readiness)?;
        let limits = ConnectionLimits::claim(config)?;
        let connections = Arc::new(Connections::new(limits.clients));
        let stats = Stats::new(registry.clone(), config.apdex_t, Arc::clone(&connections));
        let (stats, refusals) = (Arc::new(stats), Arc::new(Semaphore::new(limits.refusals)));
        gauges::observe_server(&connections, &readiness, &store, &stats);
        Ok(Self { readiness, store, stats, limits, connections, refusals })
    }

    fn start(&self, config: &Config, listeners: Listeners) -> anyhow::Result<Running> {
        let state = ApiState {
            store: Arc::clone(&self.store),
            readiness: Arc::clone(&self.readiness),
            limits: RequestLimits::of(config),
            stats: Arc::clone(&self.stats),
            public_url: config.public_url,
        };
        let service = |endpoint, connections: &Arc<Connections>| Service {
            endpoint,
            refusing: api::refusing(&state, Code::Overloaded),
            connections: Arc::clone(connections),
            refusals: Arc::clone(&self.refusals),
            timeouts: Timeouts { head: config.header_timeout, idle: config.idle_timeout },
            readiness: Arc::clone(&self.readiness),
        };
        let (stop_public, stop_ops) = (CancellationToken::new(), CancellationToken::new());
        let ops = listeners.ops.map(|port| {
            let ops = service(api::ops(&state), &Arc::new(Connections::new(self.limits.ops)));
            serve_ops(port, ops, stop_ops.clone())
        });
        let ops = ops.transpose()?;
        let endpoint = if ops.is_some() { api::public(&state) } else { api::all(&state) };
        let public = service(endpoint, &self.connections);
        let public = serve_public(
            (listeners.public, listeners.address_file),
            public,
            stop_public.clone(),
            ops.is_none(),
        );
        let (store, migrate) = (Arc::clone(&self.store), config.migrate);
        let history = Arc::clone(&self.stats);
        Ok(Running {
            public: tokio::spawn(public),
            ops,
            keeper: tokio::spawn(async move { store.keep_ready(migrate).await }),
            history: tokio::spawn(async move { history.keep().await }),
            stop_public,
            stop_ops,
        })
    }

    async fn drain(&self, config: &Config, running: Running) {
        let Running { public, ops, keeper, history, stop_public, stop_ops } = running;
        let connections = &self.connections;
        info!(connections = connections.open(), "Shutting down: no longer ready");
        self.readiness.set_draining();
        let cut_off = public.abort_handle();
        let drain = async {
            tokio::time::sleep(config.shutdown_delay).await;
            stop_public.cancel();
            let _ = public.await;
            keeper.abort();
            let _ = keeper.await;
            self.store.close().await;
            history.abort();
            // Last, so that operators can watch the shutdown.
            stop_ops.cancel();
            if let Some(ops) = ops {
                let _ = ops.await;
            }
        };
        // The rest of the time is for telemetry.
        let most = config.shutdown_timeout;
        let drain_timeout = most.saturating_sub(telemetry::FLUSH_TIMEOUT).max(most / 2);
        if timeout(drain_timeout, drain).await.is_ok() {
            info!("Stopped: all requests completed");
        } else {
            warn!(connections = connections.open(), "Stopped before all requests completed");
            cut_off.abort();
            // So that they are counted and traced as canceled.
            let _ = timeout(CUT_OFF_MAX, connections.all_closed()).await;
        }
    }
}

/// Opens the operations port at once, so that operators can watch the startup.
fn serve_ops(
    port: Port,
    service: Service,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let ops = link(port.local_addr()?);
    let listener = port.open()?;
    info!("Health: http://{ops}/readyz");
    Ok(tokio::spawn(http::serve(listener, service, stop)))
}

/// Opens and serves the public port as soon as the database is ready, or after [`SHUT_MAX`].
async fn serve_public(
    (port, address_file): (Port, Option<AddressFile>),
    service: Service,
    stop: CancellationToken,
    has_health: bool,
) -> anyhow::Result<()> {
    let served = timeout(SHUT_MAX, service.readiness.database_serves());
    if stop.run_until_cancelled(served).await.is_none() {
        return Ok(());
    }
    let public = link(port.local_addr()?);
    let listener = port.open()?;
    service.readiness.set_open();
    if let Some(file) = address_file {
        file.write(&public)?;
    }
    info!("Page: http://{public}/");
    info!("Swagger UI: http://{public}/docs");
    if has_health {
        info!("Health: http://{public}/readyz");
    }
    http::serve(listener, service, stop).await;
    Ok(())
}

/// Creates and migrates the database and returns; for `MIGRATE=only`. Waits for an unreachable
/// database.
///
/// # Errors
/// If a setting cannot be used or a migration fails.
pub async fn migrate_only(config: &Config, url: &DatabaseUrl) -> anyhow::Result<()> {
    let readiness = Arc::new(Readiness::default());
    let store = open_store(config, url, &readiness)?;
    tokio::select! {
        reason = store.keep_ready(Migrate::Only) => anyhow::bail!("{}: {reason}", url.setting),
        state = readiness.database_settles() => {
            if let Some(fault) = state.fault {
                anyhow::bail!("the migration failed: {}", fault.as_str());
            }
        }
    }
    store.close().await;
    Ok(())
}

fn open_store(
    config: &Config,
    url: &DatabaseUrl,
    readiness: &Arc<Readiness>,
) -> anyhow::Result<Arc<Store>> {
    let options = StoreOptions {
        url,
        connections_max: config.database_max_connections,
        write_queue: config.write_queue as usize,
    };
    let store = Store::new(&options, Arc::clone(readiness))?;
    let location = store.location();
    info!(
        db.system.name = location.system,
        server.address = location.address,
        server.port = location.port,
        db.namespace = location.namespace,
        "Database: {location}"
    );
    Ok(Arc::new(store))
}

/// The address at which a client on this machine reaches a listener.
fn link(address: SocketAddr) -> String {
    // Clients cannot connect to the unspecified address.
    if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    }
}
