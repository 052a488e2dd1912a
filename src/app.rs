//! The life of the process: take the ports, find the database, open, serve, drain.

use crate::{
    api::{self, Code, Parts, RequestLimits},
    config::{Config, Migrate},
    connection::Patience,
    database_url::DatabaseUrl,
    health::Health,
    listener::Port,
    places::Places,
    server::{self, Connections, Service},
    store::{Store, StoreOptions},
    telemetry::{self, Stats},
};
use prometheus::Registry;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::JoinHandle, time::timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long it takes at most until requests have noticed that they are cut off.
const CUT_OFF_MAX: Duration = Duration::from_millis(100);

/// How long the public port stays shut when the database does not serve yet. A proxy turns to
/// another server when a connection is refused, but passes on a 503; without another server, an
/// error that says what is missing is worth more than none.
const SHUT_MAX: Duration = Duration::from_secs(2);

/// The ports to serve on, taken before anything else so that one in use is found out at once.
pub struct Listeners {
    public: Port,
    ops: Option<Port>,
}

impl Listeners {
    /// # Errors
    /// When an address is in use or not this machine's.
    pub fn bind(config: &Config) -> anyhow::Result<Self> {
        let public = Port::take("LISTEN_ADDR", config.listen_addr)?;
        let ops = config.ops_addr.map(|address| Port::take("OPS_ADDR", address)).transpose()?;
        Ok(Self { public, ops })
    }

    /// The public address with the port that was really taken.
    ///
    /// # Errors
    /// When the system does not tell.
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
/// When a setting cannot be used. What goes wrong later is waited out.
pub async fn run(
    config: &Config,
    url: &DatabaseUrl,
    listeners: Listeners,
    registry: &Registry,
    stop: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let health = Arc::new(Health::default());
    let store = open_store(config, url, &health)?;
    let places = Places::claim(config)?;
    let connections = Arc::new(Connections::new(places.clients));
    let refusals = Arc::new(Semaphore::new(places.refusals));
    let stats = Arc::new(Stats::new(registry.clone(), config.apdex_t, Arc::clone(&connections)));
    telemetry::observe(&connections, &health, &store);
    let parts = Parts {
        store: Arc::clone(&store),
        health: Arc::clone(&health),
        limits: RequestLimits::of(config),
        stats: Arc::clone(&stats),
        public_url: config.public_url,
    };
    let patience = Patience { head: config.header_timeout, idle: config.idle_timeout };
    let service = |app, connections: &Arc<Connections>| Service {
        app,
        refusing: api::refusing(&parts, Code::Overloaded),
        connections: Arc::clone(connections),
        refusals: Arc::clone(&refusals),
        patience,
        health: Arc::clone(&health),
    };

    let (stop_public, stop_ops) = (CancellationToken::new(), CancellationToken::new());
    let ops = listeners.ops.map(|port| {
        let ops = service(api::ops(&parts), &Arc::new(Connections::new(places.ops)));
        serve_ops(port, ops, stop_ops.clone())
    });
    let ops = ops.transpose()?;
    let app = if ops.is_some() { api::public(&parts) } else { api::all(&parts) };
    let public = service(app, &connections);
    let public = serve_public(listeners.public, public, stop_public.clone(), ops.is_none());
    let mut public = tokio::spawn(public);
    let cut_off = public.abort_handle();
    let (keeper, migrate) = (Arc::clone(&store), config.migrate);
    let mut keeper = tokio::spawn(async move { keeper.keep_ready(migrate).await });
    let history = tokio::spawn(async move { stats.keep().await });
    tokio::select! {
        () = stop => {}
        reason = &mut keeper => anyhow::bail!("{}: {}", url.setting, reason?),
        ended = &mut public => return ended?,
    }

    info!(connections = connections.open(), "Stopping: not ready any more");
    health.set_draining();
    let drain = async {
        tokio::time::sleep(config.shutdown_delay).await;
        stop_public.cancel();
        let _ = public.await;
        keeper.abort();
        let _ = keeper.await;
        store.close().await;
        history.abort();
        // Last, so that stopping can be watched.
        stop_ops.cancel();
        if let Some(ops) = ops {
            let _ = ops.await;
        }
    };
    // What is left of it is for telemetry.
    let most = config.shutdown_timeout;
    let drain_timeout = most.saturating_sub(telemetry::FLUSH_TIMEOUT).max(most / 2);
    if timeout(drain_timeout, drain).await.is_ok() {
        info!("Stopped, every request answered");
    } else {
        warn!(connections = connections.open(), "Stopped with requests unfinished");
        cut_off.abort();
        // So that they are counted and traced as what they are.
        let _ = timeout(CUT_OFF_MAX, connections.all_closed()).await;
    }
    Ok(())
}

/// Opens the port of the operations endpoints at once, which tell how the start goes.
fn serve_ops(
    port: Port,
    service: Service,
    stop: CancellationToken,
) -> anyhow::Result<JoinHandle<()>> {
    let ops = link(port.local_addr()?);
    let listener = port.open()?;
    info!("Health: {ops}/readyz");
    Ok(tokio::spawn(server::serve(listener, service, stop)))
}

/// Opens the public port and serves it: when the database serves for the first time, or when that
/// takes too long.
async fn serve_public(
    port: Port,
    service: Service,
    stop: CancellationToken,
    has_health: bool,
) -> anyhow::Result<()> {
    let served = timeout(SHUT_MAX, service.health.database_serves());
    if stop.run_until_cancelled(served).await.is_none() {
        return Ok(());
    }
    let public = link(port.local_addr()?);
    let listener = port.open()?;
    service.health.set_open();
    info!("Page: {public}/");
    info!("Swagger UI: {public}/docs");
    if has_health {
        info!("Health: {public}/readyz");
    }
    server::serve(listener, service, stop).await;
    Ok(())
}

/// Creates and migrates the database and returns; for `MIGRATE=only`.
///
/// # Errors
/// When a setting cannot be used or a migration fails. A database that is away is waited for.
pub async fn migrate_only(config: &Config, url: &DatabaseUrl) -> anyhow::Result<()> {
    let health = Arc::new(Health::default());
    let store = open_store(config, url, &health)?;
    tokio::select! {
        reason = store.keep_ready(Migrate::Only) => anyhow::bail!("{}: {reason}", url.setting),
        state = health.database_settles() => {
            if let Some(trouble) = state.trouble {
                anyhow::bail!("the migration failed: {}", trouble.as_str());
            }
        }
    }
    store.close().await;
    Ok(())
}

fn open_store(
    config: &Config,
    url: &DatabaseUrl,
    health: &Arc<Health>,
) -> anyhow::Result<Arc<Store>> {
    let options = StoreOptions {
        url,
        connections_max: config.database_max_connections,
        write_queue: config.write_queue as usize,
    };
    let store = Store::new(&options, Arc::clone(health))?;
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

/// Where a client on this machine finds an address that is listened on.
fn link(address: SocketAddr) -> String {
    // The unspecified address is where to listen, not where to look.
    if address.ip().is_unspecified() {
        format!("http://localhost:{}", address.port())
    } else {
        format!("http://{address}")
    }
}
