//! Who the tests run as, and how a server that refuses root, or should not have it, runs as another.

use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use anyhow::{Context, bail};

/// The user that this process acts as. The owner of `/proc/self` is its effective user.
pub(crate) fn own_uid() -> anyhow::Result<u32> {
    Ok(std::fs::metadata("/proc/self")
        .context("cannot read /proc/self")?
        .uid())
}

/// Whether this process is root; Chromium's sandbox and PostgreSQL refuse to run as root.
pub(crate) fn is_root() -> anyhow::Result<bool> {
    Ok(own_uid()? == 0)
}

/// A system user that a Debian package made.
#[derive(Debug, Clone)]
pub(crate) struct Account {
    name: String,
    uid: u32,
    gid: u32,
}

impl Account {
    /// The account to switch to: `None` unless this process is root, since others cannot switch.
    pub(crate) fn if_root(name: &str, package: &str) -> anyhow::Result<Option<Self>> {
        if !is_root()? {
            return Ok(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        for line in passwd.lines() {
            let mut fields = line.split(':');
            if fields.next() != Some(name) {
                continue;
            }
            let ids: Vec<u32> = fields
                .skip(1)
                .take(2)
                .filter_map(|id| id.parse().ok())
                .collect();
            if let [uid, gid] = ids[..] {
                return Ok(Some(Self {
                    name: name.to_owned(),
                    uid,
                    gid,
                }));
            }
        }
        bail!("there is no user {name} on this machine; install the Debian package {package}")
    }

    /// What to put before a command so that it runs as this user. `setpriv` replaces itself by
    /// the command, while `runuser` and `su` stay as its parent and `su -c` opens a new session.
    pub(crate) fn prefix(&self) -> Vec<String> {
        vec![
            "setpriv".to_owned(),
            format!("--reuid={}", self.name),
            format!("--regid={}", self.gid),
            "--init-groups".to_owned(),
            "--".to_owned(),
        ]
    }

    /// Gives a file or folder to this user.
    pub(crate) fn own(&self, path: &Path) -> anyhow::Result<()> {
        chown(path, Some(self.uid), Some(self.gid))
            .with_context(|| format!("cannot give {} to the user {}", path.display(), self.name))
    }
}
