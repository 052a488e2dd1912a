//! Where the database is, as the log names it: without the user and the password.

use sqlx::mysql::MySqlConnectOptions;
use std::{
    fmt,
    path::{Path, absolute},
};

#[derive(Clone, Debug)]
pub struct Location {
    pub system: &'static str,
    /// The host or the socket of a server.
    pub address: Option<String>,
    pub port: Option<u16>,
    /// The name of the database, or its file.
    pub namespace: String,
}

impl Location {
    pub fn of_file(file: &Path) -> Self {
        let file = absolute(file).unwrap_or_else(|_| file.to_owned()).display().to_string();
        Self { system: "sqlite", address: None, port: None, namespace: file }
    }

    pub fn of_server(options: &MySqlConnectOptions) -> Self {
        let socket = options.get_socket().map(|socket| socket.display().to_string());
        Self {
            system: "mysql",
            port: socket.is_none().then(|| options.get_port()),
            address: Some(socket.unwrap_or_else(|| options.get_host().to_owned())),
            namespace: options.get_database().unwrap_or_default().to_owned(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { system, address, port, namespace } = self;
        match (address, port) {
            (Some(host), Some(port)) if host.contains(':') => {
                write!(f, "{system}://[{host}]:{port}/{namespace}")
            }
            (Some(host), Some(port)) => write!(f, "{system}://{host}:{port}/{namespace}"),
            (Some(socket), None) => write!(f, "{system}:///{namespace}?socket={socket}"),
            (None, _) => write!(f, "{system}://{namespace}"),
        }
    }
}
