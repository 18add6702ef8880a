//! The temporary folder of a server: its data, settings and log.

use std::path::{Path, PathBuf};

use anyhow::Context;
use tempfile::TempDir;

/// Keeps every folder when it is set to anything, for a test that fails by `Err`.
const KEEP: &str = "SALLYPORT_TEST_KEEP";

/// Removed at the end, and kept, with its path on stderr, when the test panics or
/// `SALLYPORT_TEST_KEEP` is set.
#[derive(Debug)]
pub(crate) struct Folder {
    inner: TempDir,
}

impl Folder {
    pub(crate) fn new(server: &str) -> anyhow::Result<Self> {
        let inner = tempfile::Builder::new()
            .prefix(&format!("sallyport-{server}-"))
            .tempdir()
            .context("cannot make a temporary folder")?;
        Ok(Self { inner })
    }

    pub(crate) fn path(&self) -> &Path {
        self.inner.path()
    }

    /// A path inside.
    pub(crate) fn join(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    /// Leaves the folder where it is. Called when a server did not start, because the reader of
    /// that error wants the log.
    pub(crate) fn keep(&mut self) {
        self.inner.disable_cleanup(true);
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if std::thread::panicking() || std::env::var_os(KEEP).is_some() {
            self.keep();
            eprintln!("testkit: kept {}", self.path().display());
        }
    }
}
