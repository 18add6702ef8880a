//! What a `command_status` means for the message and for the bind (SMPP 3.4, 5.1.3).
//!
//! Pure: no clock, no I/O. The caller decides which route is next; this module says whether there
//! should be one.

use std::time::Duration;

/// `command_status` values that this crate names itself.
pub mod status {
    /// No error.
    pub const ROK: u32 = 0x00;
    /// The `command_id` is not known.
    pub const RINVCMDID: u32 = 0x03;
    /// Not allowed in this bind state.
    pub const RINVBNDSTS: u32 = 0x04;
    /// The password of a bind is refused.
    pub const RINVPASWD: u32 = 0x0E;
    /// The system id of a bind is refused.
    pub const RINVSYSID: u32 = 0x0F;
    /// The carrier's queue is full.
    pub const RMSGQFUL: u32 = 0x14;
    /// The contract's rate is exceeded.
    pub const RTHROTTLED: u32 = 0x58;
    /// The receiver cannot take the message now; the peer sends it again.
    pub const RX_T_APPN: u32 = 0x64;
    /// The receiver can never take the message; the peer drops it.
    pub const RX_P_APPN: u32 = 0x65;
}

/// A part of a `submit_sm` that a carrier may refuse, and without which the message still goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// `priority_flag`.
    Priority,
    /// `registered_delivery`.
    RegisteredDelivery,
    /// `schedule_delivery_time`.
    Schedule,
    /// `validity_period`.
    Validity,
    /// Every optional parameter.
    Tlvs,
}

/// How a bind rests after an answer of class B. Messages go to another route meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BindRest {
    /// The first rest; each one that follows without an acceptance between is twice as long.
    pub first: Duration,
    /// The longest rest.
    pub most: Duration,
    /// The session has to be closed and bound again.
    pub rebind: bool,
    /// A person has to look: the carrier refuses who we say we are.
    pub alert: bool,
    /// The bind's message rate is multiplied by this many per cent.
    pub rate_percent: u8,
    /// The window should shrink.
    pub smaller_window: bool,
    /// False if the answer says nothing about the message, so that it loses no attempt by it.
    pub costs_attempt: bool,
}

impl BindRest {
    const fn seconds(first: u64, most: u64) -> Self {
        Self {
            first: Duration::from_secs(first),
            most: Duration::from_secs(most),
            rebind: false,
            alert: false,
            rate_percent: 100,
            smaller_window: false,
            costs_attempt: true,
        }
    }

    /// The length of the rest after `streak` earlier ones in a row (0 for the first).
    #[must_use]
    pub fn after(&self, streak: u32) -> Duration {
        self.first
            .saturating_mul(2_u32.saturating_pow(streak))
            .min(self.most)
    }
}

/// What to do with a message and its bind after an outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The carrier has the message, whether or not it gave an id.
    Accepted,
    /// T: try another route, then wait.
    TryAnother,
    /// B: this bind rests (or is made anew); the message goes to another route at once.
    Bind(BindRest),
    /// R: this route will not take it; one other route may.
    OtherRoute {
        /// Another sender id on the same route comes first.
        next_sender_first: bool,
    },
    /// P: no route will take it.
    Permanent,
    /// C: our own configuration is at fault: no retry, alert.
    Configuration {
        /// A part that the route can do without: drop it for the route and resend once.
        without: Option<Part>,
    },
    /// Resend once on this route without the part, and remember that on the route.
    ResendWithout(Part),
    /// A: written, and no answer. A second copy may reach the person.
    Ambiguous,
    /// Never written: another attempt is free.
    FreeRetry,
}

/// The class of an answer.
#[must_use]
pub fn classify(command_status: u32) -> Class {
    const CONFIGURATION: Class = Class::Configuration { without: None };
    const OTHER: Class = Class::OtherRoute {
        next_sender_first: false,
    };
    match command_status {
        status::ROK => Class::Accepted,
        0x01..=0x03 => CONFIGURATION,
        status::RINVBNDSTS | 0x05 => Class::Bind(BindRest {
            rebind: true,
            ..BindRest::seconds(0, 0)
        }),
        0x06 => Class::Configuration {
            without: Some(Part::Priority),
        },
        0x07 => Class::Configuration {
            without: Some(Part::RegisteredDelivery),
        },
        0x08 => Class::TryAnother,
        0x0A => Class::OtherRoute {
            next_sender_first: true,
        },
        0x0B => Class::Permanent,
        0x0D => Class::Bind(BindRest {
            rebind: true,
            ..BindRest::seconds(1, 60)
        }),
        status::RINVPASWD | status::RINVSYSID => Class::Bind(BindRest {
            rebind: true,
            alert: true,
            ..BindRest::seconds(300, 300)
        }),
        status::RMSGQFUL => Class::Bind(BindRest {
            smaller_window: true,
            ..BindRest::seconds(1, 5)
        }),
        0x15 | 0x33 | 0x34 | 0x40 | 0x42..=0x44 => CONFIGURATION,
        0x45 | 0x48..=0x51 => OTHER,
        0x53..=0x55 => CONFIGURATION,
        status::RTHROTTLED => Class::Bind(BindRest {
            rate_percent: 80,
            costs_attempt: false,
            ..BindRest::seconds(1, 30)
        }),
        0x61 => Class::ResendWithout(Part::Schedule),
        0x62 => Class::ResendWithout(Part::Validity),
        status::RX_T_APPN => Class::TryAnother,
        status::RX_P_APPN | 0x66 => OTHER,
        0xC0..=0xC4 => Class::ResendWithout(Part::Tlvs),
        0xFE => OTHER,
        0xFF => Class::TryAnother,
        // Vendor values (0x400–0x4FF) mean what the route's own table says; without one, and for
        // every reserved value, all that is known is that this route refused.
        _ => OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: Class = Class::OtherRoute {
        next_sender_first: false,
    };
    const CONFIGURATION: Class = Class::Configuration { without: None };

    fn rest(command_status: u32) -> BindRest {
        match classify(command_status) {
            Class::Bind(rest) => rest,
            other => panic!("{command_status:#x} is {other:?}"),
        }
    }

    fn all(statuses: impl IntoIterator<Item = u32>, class: Class) {
        for command_status in statuses {
            assert_eq!(classify(command_status), class, "{command_status:#x}");
        }
    }

    #[test]
    fn rok_is_accepted() {
        all([0x00], Class::Accepted);
    }

    #[test]
    fn invalid_length_and_command_are_configuration() {
        all(0x01..=0x03, CONFIGURATION);
    }

    #[test]
    fn wrong_bind_state_rebinds_at_once() {
        for command_status in [0x04, 0x05] {
            let rest = rest(command_status);
            assert!(rest.rebind);
            assert_eq!(rest.after(0), Duration::ZERO);
        }
    }

    #[test]
    fn refused_flags_are_dropped_for_the_route() {
        all(
            [0x06],
            Class::Configuration {
                without: Some(Part::Priority),
            },
        );
        all(
            [0x07],
            Class::Configuration {
                without: Some(Part::RegisteredDelivery),
            },
        );
    }

    #[test]
    fn system_error_tries_another_route() {
        all([0x08], Class::TryAnother);
    }

    #[test]
    fn refused_sender_tries_the_next_sender_first() {
        all(
            [0x0A],
            Class::OtherRoute {
                next_sender_first: true,
            },
        );
    }

    #[test]
    fn refused_destination_is_permanent() {
        all([0x0B], Class::Permanent);
    }

    #[test]
    fn failed_bind_rests_from_one_to_sixty_seconds() {
        let rest = rest(0x0D);
        assert!(rest.rebind && !rest.alert);
        assert_eq!(rest.after(0), Duration::from_secs(1));
        assert_eq!(rest.after(3), Duration::from_secs(8));
        assert_eq!(rest.after(40), Duration::from_secs(60));
    }

    #[test]
    fn refused_credentials_rest_five_minutes_and_alert() {
        for command_status in [0x0E, 0x0F] {
            let rest = rest(command_status);
            assert!(rest.rebind && rest.alert);
            assert_eq!(rest.after(0), Duration::from_secs(300));
            assert_eq!(rest.after(9), Duration::from_secs(300));
        }
    }

    #[test]
    fn full_queue_rests_up_to_five_seconds_and_shrinks_the_window() {
        let rest = rest(0x14);
        assert!(rest.smaller_window && !rest.rebind);
        assert_eq!(rest.after(0), Duration::from_secs(1));
        assert_eq!(rest.after(9), Duration::from_secs(5));
    }

    #[test]
    fn malformed_services_and_lists_are_configuration() {
        all([0x15, 0x33, 0x34, 0x40, 0x42, 0x43, 0x44], CONFIGURATION);
    }

    #[test]
    fn failed_submission_tries_one_other_route() {
        all([0x45], OTHER);
    }

    #[test]
    fn refused_ton_and_npi_try_one_other_route() {
        all(0x48..=0x51, OTHER);
    }

    #[test]
    fn refused_system_type_is_configuration() {
        all(0x53..=0x55, CONFIGURATION);
    }

    #[test]
    fn throttling_rests_the_bind_and_costs_no_attempt() {
        let rest = rest(0x58);
        assert!(!rest.costs_attempt && !rest.rebind);
        assert_eq!(rest.rate_percent, 80);
        assert_eq!(rest.after(0), Duration::from_secs(1));
        assert_eq!(rest.after(1), Duration::from_secs(2));
        assert_eq!(rest.after(4), Duration::from_secs(16));
        assert_eq!(rest.after(5), Duration::from_secs(30));
        assert_eq!(rest.after(u32::MAX), Duration::from_secs(30));
    }

    #[test]
    fn refused_times_are_resent_without() {
        all([0x61], Class::ResendWithout(Part::Schedule));
        all([0x62], Class::ResendWithout(Part::Validity));
    }

    #[test]
    fn receiver_application_errors() {
        all([0x64], Class::TryAnother);
        all([0x65, 0x66], OTHER);
    }

    #[test]
    fn refused_optional_parameters_are_resent_without() {
        all(0xC0..=0xC4, Class::ResendWithout(Part::Tlvs));
    }

    #[test]
    fn delivery_failure_tries_one_other_route() {
        all([0xFE], OTHER);
    }

    #[test]
    fn unknown_error_tries_another_route() {
        all([0xFF], Class::TryAnother);
    }

    #[test]
    fn vendor_and_reserved_values_try_one_other_route() {
        all(0x400..=0x4FF, OTHER);
        all(
            [
                0x09,
                0x0C,
                0x10,
                0x11,
                0x63,
                0x67,
                0x100,
                0x112,
                0x8000_0000,
                u32::MAX,
            ],
            OTHER,
        );
    }
}
