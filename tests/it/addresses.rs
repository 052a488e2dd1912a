//! IPv6, IPv4 or both: where the server listens, and what it reaches.

use crate::{
    collector::{Collector, attributes},
    harness::{TestDatabase, database_server, eventually, fetch},
    process::{self, Process},
    proxy::Proxy,
};
use std::{
    collections::BTreeSet,
    future::ready,
    path::Path,
    process::{Command, Stdio},
};

/// Addresses of pods, which the kubelet asks.
const POD_V6: &str = "[fd00::1]";
const POD_V4: &str = "10.0.0.1";

/// A library in front of the system's that has no sockets of IPv6, like some kernels.
const NO_IPV6: &str = r"
    #define _GNU_SOURCE
    #include <errno.h>
    #include <sys/socket.h>
    #include <sys/syscall.h>
    #include <unistd.h>
    int socket(int family, int type, int protocol) {
        if (family != AF_INET6) return syscall(SYS_socket, family, type, protocol);
        errno = EAFNOSUPPORT;
        return -1;
    }
";

/// A server with default addresses in a network of its own, after `setup` in there. `None` where
/// the system does not let this user make one; unshare says so.
async fn start_in_network(setup: &str, database: &TestDatabase) -> Option<Process> {
    let made = Command::new("unshare").args(["--map-root-user", "--net", "true"]).status();
    if !made.is_ok_and(|status| status.success()) {
        return None;
    }
    let inside = format!("ip link set lo up && {setup} && unset LISTEN_ADDR && exec \"$0\" \"$@\"");
    let shell = format!("exec unshare --map-root-user --net sh -ec '{inside}' \"$0\" \"$@\"");
    let flags = ["--database-url", database.url.as_str(), "--ops-addr", ":8082"];
    Some(Process::start_after(&shell, &flags).await)
}

#[tokio::test]
async fn by_default_every_address_of_the_families_that_there_are_is_served() {
    let folder = tempfile::tempdir().unwrap();
    let library = library(folder.path());
    let v6 = "ip addr add fd00::1/128 dev lo nodad";
    let v4 = "ip addr add 10.0.0.1/32 dev lo";
    let (only_v6, only_v4) = ("ip addr del 127.0.0.1/8 dev lo", "ip addr del ::1/128 dev lo");
    let bound_apart = "echo 1 >/proc/sys/net/ipv6/bindv6only";
    for (setup, pods) in [
        (format!("{v6} && {only_v6}"), &[POD_V6][..]),
        (format!("{v4} && {only_v4}"), &[POD_V4]),
        (format!("{v4} && export LD_PRELOAD={library}"), &[POD_V4]),
        (format!("{v4} && {v6}"), &[POD_V4, POD_V6]),
        (format!("{v4} && {v6} && {bound_apart}"), &[POD_V4, POD_V6]),
    ] {
        let database = TestDatabase::sqlite();
        let Some(server) = start_in_network(&setup, &database).await else { return };
        eventually(&format!("ready after {setup}"), || async {
            server.in_its_network(&["--ops-addr", ":8082", "healthcheck"]).await.0
        })
        .await;
        for pod in pods {
            let probe = format!("{pod}:8082");
            let (ready, said) = server.in_its_network(&["--ops-addr", &probe, "healthcheck"]).await;
            assert!(ready, "{pod} after {setup}: {said}");
            // It is no operations port, but it answers.
            let public = format!("{pod}:8081");
            let (_, said) = server.in_its_network(&["--ops-addr", &public, "healthcheck"]).await;
            assert!(said.contains("not_found"), "{pod} after {setup}: {said}");
        }
        let log = server.log();
        assert!(log.iter().all(|line| line["level"] == "INFO"), "{setup}: {log:?}");
        assert_eq!(server.url, "http://localhost:8081", "{setup}");
    }
}

/// Compiles it, and returns where it is.
fn library(folder: &Path) -> String {
    let (source, library) = (folder.join("no_ipv6.c"), folder.join("no_ipv6.so"));
    std::fs::write(&source, NO_IPV6).unwrap();
    let compiled =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&library, &source]).status();
    assert!(compiled.unwrap().success());
    library.display().to_string()
}

#[tokio::test]
async fn clients_by_ipv4_are_seen_with_addresses_of_ipv4_and_the_collector_may_be_at_ipv6() {
    for protocol in ["grpc", "http/protobuf"] {
        let collector = Collector::start_at("[::1]:0").await;
        let environment = collector.environment(protocol);
        let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
        let database = TestDatabase::new();
        let flags = ["--database-url", database.url.as_str(), "--listen-addr", "[::]:0"];
        let server = Process::start_with(&flags, &environment).await;
        server.wait_until_ready().await;
        let port = server.address().rsplit_once(':').unwrap().1;
        for host in ["127.0.0.1", "[::1]"] {
            let response = fetch(format!("http://{host}:{port}/messages?limit=3")).await.unwrap();
            assert_eq!(response.status(), 200, "{host}");
        }
        let metrics = server.text("/metrics").await;
        let log = format!("{:?}", server.log());
        server.stop().await;
        let spans = collector.spans("GET /messages").await;
        let clients =
            spans.iter().map(|span| attributes(&span.attributes)["client.address"].clone());
        let clients: BTreeSet<_> = clients.collect();
        assert_eq!(clients, BTreeSet::from(["127.0.0.1".to_owned(), "::1".to_owned()]));
        assert!(!metrics.contains("::ffff:") && !log.contains("::ffff:"), "{log}");
    }
}

#[tokio::test]
#[ignore = "needs a database server"]
async fn a_database_at_an_address_of_ipv6_is_reached_and_named() {
    let proxy = Proxy::at("[::1]:0", &database_server().unwrap()).await;
    let mut url = TestDatabase::new().url;
    url.set_host(Some("[::1]")).unwrap();
    let server = Process::start(&["--database-url", &proxy.url(&url)]).await;
    server.wait_until_ready().await;
    assert_eq!(server.post("bob", "hi").send().await.unwrap().status(), 201);
    let log = server.log();
    let named = log.iter().find(|line| !line["db.namespace"].is_null()).unwrap();
    assert_eq!(named["server.address"], "::1");
    let name = format!("Database: mysql://[::1]:{}/", proxy.address.port());
    assert!(named["message"].as_str().unwrap().starts_with(&name), "{named}");
}

#[tokio::test]
async fn the_address_file_has_the_port_that_was_taken_as_soon_as_it_is_open() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("address");
    std::fs::write(&file, "127.0.0.1:1\n").unwrap();
    // Nothing answers there, so that the port stays shut for a while.
    let flags = ["--listen-addr", "127.0.0.1:0", "--database-url", "mysql://u@127.0.0.1:1/d"];
    let mut server = process::command(&flags);
    let mut server = server.arg("--address-file").arg(&file).stderr(Stdio::null()).spawn().unwrap();
    eventually("that of an earlier server is gone", || ready(!file.exists())).await;
    eventually("the server listens", || ready(file.exists())).await;
    let address = std::fs::read_to_string(&file).unwrap();
    assert_eq!(fetch(format!("http://{}/livez", address.trim())).await.unwrap().status(), 200);
    server.kill().await.unwrap();
}
