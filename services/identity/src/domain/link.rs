//! What a mailed link is for.

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The first password of an invited user.
    Invitation,
    /// A forgotten password.
    Reset,
    /// A disabled second factor that is to be enrolled anew.
    Enrolment,
}
