//! Requests of the portal that a service can refuse, and where the page then says so.

mod accounts;
mod codes;
mod sessions;

use sallyport_proto::identity::v1::SessionStage;

use crate::fakes::World;

/// Who has not signed in.
pub const NOBODY: Option<SessionStage> = None;
/// Who is past the password.
pub const AWAITING: Option<SessionStage> = Some(SessionStage::AwaitingSecondFactor);
/// Who is past both steps.
pub const SIGNED_IN: Option<SessionStage> = Some(SessionStage::SignedIn);

/// Where the sentence stands.
#[derive(Clone, Copy)]
pub enum At {
    /// At this field of the form, which comes again.
    Field(&'static str),
    /// Above the form, which comes again.
    Form,
    /// Above the page to which the reader is led.
    Next,
    /// At this field of the page to which the reader is led.
    NextField(&'static str),
    /// On a page of its own.
    Page,
    /// Nowhere: the reader is led to where the missing step is made, which this term says.
    Way(&'static str),
}

/// A request that a service can refuse.
pub struct Row {
    /// How the reasons begin; of those that the call can be refused for.
    pub of: &'static [&'static str],
    pub reader: Option<SessionStage>,
    pub rpc: &'static str,
    /// What else changes something on the way to the refused call, or follows from it.
    pub also: &'static [&'static str],
    /// What the services know beforehand.
    pub world: fn(&mut World),
    pub page: &'static str,
    /// Where the page's form goes; empty where the page itself is refused.
    pub to: &'static str,
    /// [`OWN`] stands for the reader's language.
    pub typed: &'static [(&'static str, &'static str)],
    pub at: fn(&str) -> At,
}

/// The reader's language, among what is typed.
pub const OWN: &str = "{language}";

/// What most of them have in common.
const ROW: Row = Row {
    of: &[],
    reader: SIGNED_IN,
    rpc: "",
    also: &[],
    world: |_| {},
    page: "",
    to: "",
    typed: &[],
    at: |_| At::Page,
};

const NUMBER: &[(&str, &str)] = &[("country", "FR"), ("mobile_number", "06 12 34 56 78")];

/// The factor is disabled, and the link used that enrols it anew.
fn enrolling(world: &mut World) {
    world.disabled = true;
    world.may_enrol = true;
}

fn number(reason: &str) -> At {
    match reason {
        "phone.country_required" | "country.unknown" => At::Field("country"),
        _ => At::Field("mobile_number"),
    }
}

/// Every such request.
pub fn rows() -> impl Iterator<Item = &'static Row> {
    [sessions::ROWS, codes::ROWS, accounts::ROWS]
        .into_iter()
        .flatten()
}
