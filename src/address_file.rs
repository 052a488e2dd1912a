//! The file that says where the server listens, for scripts that start one on any free port.

use anyhow::Context;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The file, which is there as soon as the port is open.
#[derive(Debug)]
pub struct AddressFile {
    path: PathBuf,
    /// Has another name until it is complete.
    unfinished: PathBuf,
    file: File,
}

impl AddressFile {
    /// Finds out whether the file can be written, and removes that of an earlier server.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let unfinished = path.with_added_extension("new");
        let create = || match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => File::create(&unfinished),
        };
        let file = create().with_context(|| cannot_write(path))?;
        Ok(Self { path: path.to_owned(), unfinished, file })
    }

    /// Writes an address, in one step for those who wait for it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(mut self, address: &str) -> anyhow::Result<()> {
        let written = writeln!(self.file, "{address}");
        let written = written.and_then(|()| fs::rename(&self.unfinished, &self.path));
        written.with_context(|| cannot_write(&self.path))
    }
}

fn cannot_write(path: &Path) -> String {
    format!("ADDRESS_FILE: cannot write {}", path.display())
}
