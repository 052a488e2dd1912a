//! The two fast paths without HTTP, on SQLite: how little a call costs when many share an operation.
//! One iteration is one call of each caller, all at the same time.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on fails")]

use chat_server::{
    config::{Config, Migrate},
    message::{NewMessage, Text, UserName},
    readiness::Readiness,
    store::{Store, StoreOptions},
};
use clap::Parser;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use futures_util::future::join_all;
use std::{path::Path, sync::Arc, time::Duration};
use tokio::{runtime::Runtime, time::Instant};

const CALLERS: [u64; 4] = [1, 16, 64, 256];

async fn open(folder: &Path) -> Arc<Store> {
    let health = Arc::new(Readiness::default());
    let url = format!("sqlite://{}", folder.join("chat.db").display());
    let config = Config::parse_from(["chat-server", "--database-url", url.as_str()]);
    let url = config.database_url().unwrap();
    let options = StoreOptions { url: &url, connections_max: 10, write_queue: 4_096 };
    let store = Arc::new(Store::new(&options, Arc::clone(&health)).unwrap());
    let keeper = Arc::clone(&store);
    tokio::spawn(async move { keeper.keep_ready(Migrate::Auto).await });
    health.database_settles().await;
    store
}

fn message() -> NewMessage {
    let text = Text::parse("could somebody review the change before lunch?".into()).unwrap();
    NewMessage::new(UserName::parse("superman").unwrap(), text, None)
}

fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(10)
}

fn fast_paths(criterion: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let store = runtime.block_on(open(folder.path()));

    let mut group = criterion.benchmark_group("post");
    for callers in CALLERS {
        group.throughput(Throughput::Elements(callers));
        group.bench_function(BenchmarkId::from_parameter(callers), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let posts = join_all((0..callers).map(|_| store.post(message(), deadline())));
                assert!(posts.await.iter().all(Result::is_ok));
            });
        });
    }
    group.finish();

    let mut group = criterion.benchmark_group("read");
    for callers in CALLERS {
        group.throughput(Throughput::Elements(callers));
        group.bench_function(BenchmarkId::from_parameter(callers), |bencher| {
            bencher.to_async(&runtime).iter(|| async {
                let reads = join_all((0..callers).map(|_| store.latest(deadline())));
                assert!(reads.await.iter().all(Result::is_ok));
            });
        });
    }
    group.finish();
    runtime.block_on(store.close());
}

criterion_group!(benches, fast_paths);
criterion_main!(benches);
