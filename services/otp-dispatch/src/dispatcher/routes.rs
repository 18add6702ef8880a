//! The routes of a configuration, started.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use sallyport_chassis::Clock;

use crate::adapters::route_inbox::{InboxRoute, SmsInbox};
use crate::adapters::route_smpp::SmppRoute;
use crate::config::RouteConfig;
use crate::ports::{MessageStore, SmsRoute};

/// How many texts the inbox may be taking at a time.
const INBOX_WINDOW: usize = 16;

/// Every route, lowest priority number first.
pub struct Routes {
    by_priority: Vec<Arc<dyn SmsRoute>>,
    binds: Vec<Arc<SmppRoute>>,
    window: usize,
    longest_send: Duration,
}

impl Routes {
    /// Starts the routes; binds are made in the background.
    ///
    /// # Errors
    /// The first route whose settings cannot work.
    pub fn start(
        configs: &[RouteConfig],
        inbox: Option<&SmsInbox>,
        store: &Arc<dyn MessageStore>,
        clock: &Arc<dyn Clock>,
    ) -> anyhow::Result<Self> {
        let mut sorted: Vec<_> = configs.iter().collect();
        sorted.sort_by_key(|config| config.priority());
        let mut routes = Self {
            by_priority: Vec::with_capacity(sorted.len()),
            binds: Vec::new(),
            window: 0,
            longest_send: Duration::ZERO,
        };
        for config in sorted {
            match config {
                RouteConfig::Inbox(inbox_config) => {
                    let name = inbox_config.name.clone();
                    let inbox = inbox.context(
                        "otp.routes: kind = \"inbox\" works with profile = \"development\" only",
                    )?;
                    let (store, clock) = (Arc::clone(store), Arc::clone(clock));
                    routes.window += INBOX_WINDOW;
                    routes.by_priority.push(Arc::new(InboxRoute::new(
                        name,
                        inbox.clone(),
                        store,
                        clock,
                    )));
                }
                RouteConfig::Smpp(smpp) => {
                    let route = SmppRoute::start(smpp, Arc::clone(store), Arc::clone(clock))?;
                    routes.window += smpp.window;
                    routes.longest_send += route.longest_send();
                    let route = Arc::new(route);
                    routes.binds.push(Arc::clone(&route));
                    routes.by_priority.push(route);
                }
            }
        }
        Ok(routes)
    }

    /// Routes made elsewhere, in the order in which they are tried. `window` is how many messages
    /// they may have in flight together, `longest_send` how long one may take on all of them.
    pub fn of(by_priority: Vec<Arc<dyn SmsRoute>>, window: usize, longest_send: Duration) -> Self {
        Self {
            by_priority,
            binds: Vec::new(),
            window,
            longest_send,
        }
    }

    /// The routes in the order in which they are tried.
    pub fn by_priority(&self) -> Vec<Arc<dyn SmsRoute>> {
        self.by_priority.clone()
    }

    /// How many messages they may have in flight together.
    pub fn window(&self) -> usize {
        self.window
    }

    /// How long a message may take if each route in turn takes its time.
    pub fn longest_send(&self) -> Duration {
        self.longest_send
    }

    /// Unbinds every route; those in flight have at most `grace`.
    pub async fn shutdown(&self, grace: Duration) {
        futures::future::join_all(self.binds.iter().map(|bind| bind.shutdown(grace))).await;
    }
}
