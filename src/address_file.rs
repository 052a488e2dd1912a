//! The file that contains the server's address, for scripts that start a server on a free port.

use anyhow::Context;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The file, which exists as soon as the port is open.
#[derive(Debug)]
pub struct AddressFile {
    path: PathBuf,
    /// The temporary name until the file is complete.
    unfinished: PathBuf,
    file: File,
}

impl AddressFile {
    /// Checks that the file can be written, and removes that of an earlier server.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn create(path: &Path) -> anyhow::Result<Self> {
        let unfinished = path.with_added_extension("new");
        let create = || {
            match fs::symlink_metadata(path) {
                Ok(found) if found.is_file() => fs::remove_file(path)?,
                // Such as /dev/stdout, which removing and renaming would destroy.
                Ok(_) => return Err(io::Error::other("it is not a regular file")),
                Err(_) => {}
            }
            File::create(&unfinished)
        };
        let file = create().with_context(|| cannot_write(path))?;
        Ok(Self { path: path.to_owned(), unfinished, file })
    }

    /// Writes an address atomically, because scripts wait for the file.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write(mut self, address: &str) -> anyhow::Result<()> {
        let written = writeln!(self.file, "{address}");
        let written = written.and_then(|()| fs::rename(&self.unfinished, &self.path));
        written.with_context(|| cannot_write(&self.path))
    }
}

fn cannot_write(path: &Path) -> String {
    format!("ADDRESS_FILE: cannot write {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_to_something_else_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let link = folder.path().join("stdout");
        std::os::unix::fs::symlink("/dev/null", &link).unwrap();
        let error = AddressFile::create(&link).unwrap_err();
        assert!(format!("{error:#}").ends_with("stdout: it is not a regular file"), "{error:#}");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
}
