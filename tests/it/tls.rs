//! A database server whose certificate is not trusted is no server that is unreachable.

use crate::{
    harness::eventually, private_database::PrivateDatabase, process::Process, rotation::replace,
};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{
    ServerConfig, ServerConnection,
    pki_types::{PrivateKeyDer, pem::PemObject},
};
use std::{
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
};

/// The first packet of a MySQL server: protocol 10, version, connection, the halves of the salt,
/// and the capabilities: 4.1, TLS, salted passwords, named ways to log in.
const GREETING: &[u8] = b"\x0a8.0.0\0\x01\0\0\0saltsalt\0\x00\x8a\x2d\x02\0\x08\0\x15\
    \0\0\0\0\0\0\0\0\0\0saltsaltsalt\0mysql_native_password\0";

/// How long a client's wish for TLS is, with the packet's head.
const WISH_BYTES: usize = 36;

fn greet(mut client: TcpStream, config: &Arc<ServerConfig>) -> std::io::Result<()> {
    let length = u8::try_from(GREETING.len()).unwrap();
    client.write_all(&[&[length, 0, 0, 0], GREETING].concat())?;
    client.read_exact(&mut [0; WISH_BYTES])?;
    let mut server = ServerConnection::new(Arc::clone(config)).unwrap();
    while server.is_handshaking() {
        server.complete_io(&mut client)?;
    }
    Ok(())
}

/// A MySQL server as far as its certificate, which is signed by itself only, and that certificate.
fn start_database(host: &str) -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from_pem_slice(made.signing_key.serialize_pem().as_bytes()).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = Arc::new(config.with_single_cert(vec![made.cert.der().clone()], key).unwrap());
    let listener = TcpListener::bind((host, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let _ = greet(client.unwrap(), &config);
        }
    });
    (address, made.cert.pem())
}

#[tokio::test]
async fn a_certificate_that_is_not_trusted_is_told_from_a_server_that_is_unreachable() {
    for (ip, host) in [("127.0.0.1", "localhost"), ("::1", "[::1]")] {
        let port = start_database(ip).0.port();
        let url = format!("mysql://u@{host}:{port}/d?ssl-mode=VERIFY_IDENTITY");
        let server = Process::start(&["--database-url", &url]).await;
        eventually("the certificate is blamed", || async {
            server.json("/readyz").await["checks"][0]["reason"] == "tls_failed"
        })
        .await;
        eventually("the log says why", || async {
            let is_blamed = |line: &serde_json::Value| {
                line["db.fault"] == "tls_failed"
                    && line["cause"].to_string().contains("invalid peer certificate")
            };
            server.log().iter().any(is_blamed)
        })
        .await;
    }
}

#[tokio::test]
async fn certificates_that_are_replaced_need_no_restart() {
    let (address, certificate) = start_database("127.0.0.1");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ca.crt");
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(&file, other.cert.pem()).unwrap();
    let parameters = format!("ssl-mode=VERIFY_IDENTITY&ssl-ca={}", file.display());
    let url = format!("mysql://u@localhost:{}/d?{parameters}", address.port());
    let server = Process::start(&["--database-url", &url]).await;
    let reason = async || server.json("/readyz").await["checks"][0]["reason"].clone();
    eventually("the certificate is blamed", || async { reason().await == "tls_failed" }).await;
    // A file that is half written changes nothing.
    std::fs::write(&file, "-----BEGIN").unwrap();
    eventually("it is told", || async {
        server.log().iter().any(|line| line["message"].to_string().contains("of before are used"))
    })
    .await;
    std::fs::write(&file, certificate).unwrap();
    // This database knows no more than TLS.
    eventually("the certificate is trusted", || async { reason().await == "unreachable" }).await;
}

/// Certificates for a database on 127.0.0.1 by a new authority, as files; the authority's as text.
fn issue_certificates(folder: &Path) -> String {
    let authority = KeyPair::generate().unwrap();
    let mut parameters = CertificateParams::default();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority_certificate = parameters.self_signed(&authority).unwrap().pem();
    let issuer = Issuer::new(parameters, authority);
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let certificate = server.signed_by(&key, &issuer).unwrap().pem();
    for (name, text) in [
        ("ca.pem", &authority_certificate),
        ("certificate.pem", &certificate),
        ("key.pem", &key.serialize_pem()),
    ] {
        fs::write(folder.join(name), text).unwrap();
    }
    authority_certificate
}

#[tokio::test]
#[ignore = "needs a database server: make test"]
async fn a_database_whose_authority_is_replaced_serves_again_as_soon_as_the_file_is_right() {
    let database = PrivateDatabase::new();
    let folder = database.folder.path();
    let path = |name: &str| folder.join(name).display().to_string();
    let options = [("ca", "ca.pem"), ("cert", "certificate.pem"), ("key", "key.pem")]
        .map(|(option, file)| format!("--ssl-{option}={}", path(file)));
    let options = options.each_ref().map(String::as_str);
    let trusted = folder.join("trusted.pem");
    fs::write(&trusted, issue_certificates(folder)).unwrap();
    database.start_with(&options).await;
    let url = database.url();
    let url = format!("{url}?ssl-mode=VERIFY_IDENTITY&ssl-ca={}", trusted.display());
    let server = Process::start(&["--database-url", &url]).await;
    let reason = async || server.json("/readyz").await["checks"][0]["reason"].clone();
    let version: String =
        sqlx::query_scalar("select version()").fetch_one(&mut database.root().await).await.unwrap();
    if version == "8.0.15" {
        // It has no key exchange that rustls knows.
        return eventually("TLS is blamed", || async { reason().await == "tls_failed" }).await;
    }
    server.wait_until_ready().await;
    assert_eq!(server.post("bob", "before").send().await.unwrap().status(), 201);

    database.run("kill", &[]).await;
    let authority = issue_certificates(folder);
    database.start_with(&options).await;
    eventually("the certificate is blamed", || async { reason().await == "tls_failed" }).await;
    fs::write(&trusted, authority).unwrap();
    server.wait_until_ready().await;
    assert_eq!(server.post("bob", "after").send().await.unwrap().status(), 201);
    let texts = server.text("/messages").await;
    assert!(texts.contains("before") && texts.contains("after"), "{texts}");
}

/// A MySQL server that wants TLS, and speaks a version of it that clients do not understand.
fn start_old_database() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for client in listener.incoming() {
            let mut client = client.unwrap();
            let length = u8::try_from(GREETING.len()).unwrap();
            let _ = client.write_all(&[&[length, 0, 0, 0], GREETING].concat());
            let _ = client.read_exact(&mut [0; WISH_BYTES]);
            let _ = client.write_all(b"no version of TLS");
        }
    });
    address
}

#[tokio::test]
async fn going_on_without_tls_is_logged_once_however_often_the_password_changes() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    let address = start_old_database();
    let write = |number: usize| replace(&file, &format!("mysql://u:geheim{number}@{address}/d"));
    write(0);
    let server = Process::start(&["--database-url-file", file.to_str().unwrap()]).await;
    let count = |text: &str| {
        server.log().iter().filter(|line| line["message"].to_string().contains(text)).count()
    };
    for number in 1..=3 {
        eventually("TLS is left out", async || count("Going on without TLS") > 0).await;
        write(number);
        eventually("it is read", async || count("have changed") == number).await;
    }
    // After the last change, too, several connections were tried.
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert_eq!(count("Going on without TLS"), 1);
}
