//! How far a session has come.

/// How far a session has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The password was right; the second step is open.
    AwaitingSecondFactor,
    /// Signed in.
    SignedIn,
}
