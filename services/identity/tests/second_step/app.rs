//! A person's authenticator app, by the clock of the test.

use std::time::Duration;

use sallyport_chassis::Clock;
use sallyport_testkit::AuthenticatorApp;

use crate::world::World;

pub struct App(AuthenticatorApp);

impl App {
    /// With the text that the set-up page shows.
    pub fn of(secret: &str) -> Self {
        Self(AuthenticatorApp::of(secret))
    }

    /// The bytes that no copy of a store may hold.
    pub fn seed(&self) -> &[u8] {
        self.0.seed()
    }

    /// What it shows now, or will show or has shown so many steps of half a minute away.
    pub fn shows(&self, world: &World, away: i32) -> String {
        let step = Duration::from_secs(30) * away.unsigned_abs();
        let now = world.clock.now();
        self.0.shows(if away < 0 { now - step } else { now + step })
    }
}
