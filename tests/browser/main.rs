//! The journey of two people in real browsers, on both stacks, in English and French, with and
//! without JavaScript, and by keyboard alone. Codes are read from the SMS that arrived; sentences
//! from the portal's own table.

// The journey is one long chain of awaits.
#![recursion_limit = "256"]

mod accessibility;
mod administration;
mod authenticator;
mod enrol_anew;
mod enrolment;
mod keyboard;
mod passkeys;
mod passwords;
mod portal;
mod sign_in;
mod words;

use std::cell::Cell;

use anyhow::{Context, Result};
use sallyport_tests::{Kind, System, code_in};

use crate::portal::Portal;
use crate::words::Words;

/// The administrator's first password.
const PASSWORD: &str = "correct horse battery staple 42";

/// What differs between the runs.
#[derive(Debug, Clone, Copy)]
struct Run {
    kind: Kind,
    javascript: bool,
    french: bool,
    /// In a window of 400 pixels, not of 1280.
    phone: bool,
    /// What the names of its pictures begin with.
    shots: &'static str,
}

impl Run {
    /// What is no term of the portal, in the language of the run.
    fn text(&self, english: &'static str, french: &'static str) -> &'static str {
        if self.french { french } else { english }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn journey_embedded_english_with_script() -> Result<()> {
    journey(Run {
        kind: Kind::Embedded,
        javascript: true,
        french: false,
        phone: false,
        shots: "embedded-en",
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn journey_embedded_french_with_script() -> Result<()> {
    journey(Run {
        kind: Kind::Embedded,
        javascript: true,
        french: true,
        phone: false,
        shots: "embedded-fr",
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn journey_embedded_french_on_a_phone_without_script() -> Result<()> {
    journey(Run {
        kind: Kind::Embedded,
        javascript: false,
        french: true,
        phone: true,
        shots: "embedded-fr-phone",
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn journey_on_real_servers_with_script() -> Result<()> {
    journey(Run {
        kind: Kind::Real,
        javascript: true,
        french: false,
        phone: false,
        shots: "real-en",
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn journey_on_real_servers_without_script() -> Result<()> {
    journey(Run {
        kind: Kind::Real,
        javascript: false,
        french: false,
        phone: false,
        shots: "real-en-plain",
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn keyboard_alone() -> Result<()> {
    let scene = Scene::start(Run {
        kind: Kind::Embedded,
        javascript: true,
        french: false,
        phone: false,
        shots: "keyboard",
    })
    .await?;
    keyboard::alone(&scene).await?;
    scene.system.stop().await
}

/// Every part in its order, and under its name: a failure tells where it happened.
async fn journey(run: Run) -> Result<()> {
    let scene = Scene::start(run).await.context("start")?;
    enrolment::first_password(&scene)
        .await
        .context("first password")?;
    enrolment::number_without_country(&scene)
        .await
        .context("number without country")?;
    enrolment::enrol(&scene).await.context("enrolment")?;
    sign_in::with_code(&scene)
        .await
        .context("sign-in with a code")?;
    let used = sign_in::code_given_too_late(&scene)
        .await
        .context("code given too late")?;
    let recovery_codes = enrolment::off_and_on_again(&scene, &used)
        .await
        .context("2FA off and on again")?;
    sign_in::wrong_codes(&scene).await.context("wrong codes")?;
    sign_in::recovery_code(&scene, &recovery_codes[0])
        .await
        .context("recovery code")?;
    // A number gets ten messages a day.
    scene.system.clock.advance(jiff::Span::new().hours(25));
    let link = administration::add_user(&scene)
        .await
        .context("adding a user")?;
    administration::licence(&scene).await.context("licence")?;
    let invited = administration::invited_user(&scene, &link)
        .await
        .context("invited user")?;
    administration::password_link(&scene, &invited)
        .await
        .context("password link by an administrator")?;
    sign_in::code_of_another(&scene, &invited)
        .await
        .context("code of another")?;
    administration::logs(&scene, &invited)
        .await
        .context("logs")?;
    administration::other_pages(&scene)
        .await
        .context("other pages")?;
    passwords::reset(&scene)
        .await
        .context("forgotten password")?;
    passwords::change(&scene)
        .await
        .context("changed password")?;
    enrol_anew::by_mailed_link(&scene)
        .await
        .context("enrolled anew by a mailed link")?;
    authenticator::sets_up_and_signs_in(&scene)
        .await
        .context("authenticator app")?;
    passkeys::adds_and_signs_in(&scene)
        .await
        .context("passkey")?;
    scene.system.stop().await.context("stop")
}

/// What every part of the journey has at hand.
struct Scene {
    run: Run,
    system: System,
    words: Words,
    /// The administrator's browser.
    portal: Portal,
    /// The administrator's phone.
    phone: Phone,
}

impl Scene {
    async fn start(run: Run) -> Result<Self> {
        let system = System::start(run.kind).await?;
        let portal = Portal::start(&run, &system.portal, "ada").await?;
        Ok(Self {
            run,
            system,
            words: Words::new(run.french),
            portal,
            phone: Phone::new("+33612345678"),
        })
    }
}

/// A phone, and how many of the SMS with a code that arrived at it were read. Each code that is sent
/// is read before the next one is, so that none is taken for another.
struct Phone {
    number: &'static str,
    read: Cell<usize>,
}

impl Phone {
    fn new(number: &'static str) -> Self {
        Self {
            number,
            read: Cell::new(0),
        }
    }

    /// Waits for the next SMS with a code, and gives its text.
    async fn sms(&self, system: &System) -> Result<String> {
        let read = self.read.get();
        let texts = system.codes(self.number, read + 1).await?;
        self.read.set(read + 1);
        texts.into_iter().nth(read).context("no SMS")
    }

    /// Waits for the next SMS with a code, and gives the code.
    async fn code(&self, system: &System) -> Result<String> {
        code_in(&self.sms(system).await?)
    }
}
