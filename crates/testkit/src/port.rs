//! Ports that no other test takes, also while a server is away.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Below Linux' range of ephemeral ports (32768 and up by default): a client's outgoing connection
/// cannot take a port that a stopped server comes back to.
const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;

/// A free TCP port on 127.0.0.1, held by a lock file for as long as this value lives.
///
/// Asking the system for port 0 and closing the socket would leave the port open to any other
/// test until the server binds it, and again whenever the server is stopped on purpose.
#[derive(Debug)]
pub struct Port {
    number: u16,
    _lock: File,
}

impl Port {
    /// Takes a port that nobody listens on and that no other process of the kit holds.
    pub fn take() -> anyhow::Result<Self> {
        let folder = lock_folder()?;
        let start = uuid::Uuid::now_v7().as_u128() as u16 % COUNT;
        for step in 0..COUNT {
            if let Some(port) = Self::try_take(&folder, FIRST + (start + step) % COUNT)? {
                return Ok(port);
            }
        }
        bail!(
            "no port from {FIRST} to {} is free on 127.0.0.1",
            FIRST + COUNT - 1
        )
    }

    fn try_take(folder: &Path, number: u16) -> anyhow::Result<Option<Self>> {
        let path = folder.join(number.to_string());
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .with_context(|| format!("cannot open the lock file {}", path.display()))?;
        let free =
            lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, number)).is_ok();
        Ok(free.then_some(Self {
            number,
            _lock: lock,
        }))
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }
}

/// One folder per user, since a file of somebody else could not be locked.
fn lock_folder() -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!(
        "sallyport-testkit-ports-{}",
        crate::account::own_uid()?
    ));
    std::fs::create_dir_all(&folder)
        .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_port_is_given_to_one_holder_at_a_time_and_can_be_bound() {
        let ports: Vec<Port> = (0..50).map(|_| Port::take().unwrap()).collect();
        let numbers: HashSet<u16> = ports.iter().map(Port::number).collect();
        assert_eq!(numbers.len(), ports.len());
        for number in numbers {
            TcpListener::bind((Ipv4Addr::LOCALHOST, number)).unwrap();
        }
    }

    #[test]
    fn a_port_that_somebody_listens_on_is_not_given() {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let number = listener.local_addr().unwrap().port();
        assert!(Port::try_take(folder.path(), number).unwrap().is_none());
        drop(listener);
        let held = Port::try_take(folder.path(), number)
            .unwrap()
            .expect("now it is free");
        assert!(Port::try_take(folder.path(), number).unwrap().is_none());
        drop(held);
        assert!(Port::try_take(folder.path(), number).unwrap().is_some());
    }
}
