//! `make timing`: whether the time of a sign-in's answer tells what its words do not.
//!
//! identity, as it is and over a unix socket, is asked by one caller, one sign-in after the other: of
//! people with and without a second factor, right and wrong passwords, and e-mails that nobody has. The
//! kinds come in an order that is drawn anew for every round, so that whatever else the machine does
//! meets each of them alike. As many e-mails are tried of each kind, as often; each try comes from a
//! network of its own, so that no limit is met.
//!
//! The figures are for reading (docs/timing.md). No test looks at them.

mod compare;

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, ensure};
use sallyport_chassis::{Clock, Refusal, SystemClock};
use sallyport_proto::identity::v1::sign_in_service_client::SignInServiceClient;
use sallyport_proto::identity::v1::two_factor_service_client::TwoFactorServiceClient;
use sallyport_proto::identity::v1::{BeginAuthenticatorRequest, ConfirmAuthenticatorRequest};
use sallyport_testkit::AuthenticatorApp;
use serde::Serialize;
use tonic::Request;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::Channel;

use self::compare::{Comparison, Random};
use super::machine::{Machine, cores};
use super::report::write;
use super::rows::sign_in::request;
use super::rows::users::{Identity, USERS, User};

/// E-mails of each kind.
const EACH: usize = USERS / 4;
/// A hundred wrong passwords close an e-mail for everybody.
const MOST_ROUNDS: usize = EACH * 90;

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Right,
    Wrong,
    RightWithFactor,
    WrongWithFactor,
    Nobody,
}

impl Kind {
    const ALL: [Self; 5] = [
        Self::Right,
        Self::Wrong,
        Self::RightWithFactor,
        Self::WrongWithFactor,
        Self::Nobody,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Right => "known, right password",
            Self::Wrong => "known, wrong password",
            Self::RightWithFactor => "known with 2FA, right password",
            Self::WrongWithFactor => "known with 2FA, wrong password",
            Self::Nobody => "unknown e-mail",
        }
    }

    fn is_right(self) -> bool {
        matches!(self, Self::Right | Self::RightWithFactor)
    }
}

/// What is compared. The words of the first three pairs are the same; those of the others are not, and
/// they are there for scale.
const PAIRS: [(Kind, Kind, bool); 5] = [
    (Kind::Wrong, Kind::Nobody, true),
    (Kind::WrongWithFactor, Kind::Nobody, true),
    (Kind::WrongWithFactor, Kind::Wrong, true),
    (Kind::RightWithFactor, Kind::Right, false),
    (Kind::Right, Kind::Wrong, false),
];

/// How the times of one kind lie.
#[derive(Debug, Serialize)]
struct Times {
    kind: &'static str,
    samples: usize,
    p5_ms: f64,
    median_ms: f64,
    p95_ms: f64,
}

/// Two kinds, side by side.
#[derive(Debug, Serialize)]
struct Pair {
    first: &'static str,
    second: &'static str,
    /// Whether the words of the two answers are the same, so that the times should be.
    same_words: bool,
    #[serde(flatten)]
    comparison: Comparison,
}

/// Everything that one `make timing` found.
#[derive(Debug, Serialize)]
struct Report {
    machine: Machine,
    kinds: Vec<Times>,
    pairs: Vec<Pair>,
}

/// Measures so many rounds, each kind once a round, and writes the report.
pub async fn measure(rounds: usize, out: Option<PathBuf>) -> Result<()> {
    ensure!(
        (10..=MOST_ROUNDS).contains(&rounds),
        "--rounds must be 10 to {MOST_ROUNDS}"
    );
    let identity = Identity::start(cores().saturating_sub(1).max(1)).await?;
    let people = People::of(&identity).await?;
    let mut caller = Caller {
        client: SignInServiceClient::new(identity.channels[0].clone()),
        tried: 0,
    };
    let mut random = Random::new();
    let mut samples: [Vec<f64>; Kind::ALL.len()] = Default::default();
    // The first rounds warm caches and the pool of connections up.
    for round in 0..rounds + rounds / 10 {
        let mut order = [0, 1, 2, 3, 4];
        random.shuffle(&mut order);
        for kind in order {
            let took = caller.try_one(&people, Kind::ALL[kind], round).await?;
            if round >= rounds / 10 {
                samples[kind].push(took);
            }
        }
    }
    let report = Report::of(&samples, &mut random)?;
    let path =
        out.unwrap_or_else(|| sallyport_testkit::target_folder().join("reports/timing.json"));
    write(&path, &report)?;
    let mut stdout = std::io::stdout().lock();
    write!(stdout, "{}", report.table())?;
    writeln!(stdout, "{}", path.display())?;
    Ok(())
}

/// Who is tried: so many of each kind, none of them of two.
struct People<'a>([&'a [User]; 4]);

impl<'a> People<'a> {
    /// Half of identity's users set an authenticator app up.
    async fn of(identity: &'a Identity) -> Result<Self> {
        let mut parts = identity.users.chunks_exact(EACH);
        let mut part = || parts.next().context("too few users");
        let people = Self([part()?, part()?, part()?, part()?]);
        let channel = &identity.channels[0];
        for user in people.0[2].iter().chain(people.0[3]) {
            set_up_app(channel, user).await.context("an app")?;
        }
        Ok(people)
    }

    /// E-mail and password of a try.
    fn typed(&self, kind: Kind, round: usize) -> (String, String) {
        let known = |part: usize| &self.0[part][round % EACH];
        let wrong = || format!("not the password of anybody {round}");
        match kind {
            Kind::Right => (known(0).email.clone(), known(0).password.clone()),
            Kind::Wrong => (known(1).email.clone(), wrong()),
            Kind::RightWithFactor => (known(2).email.clone(), known(2).password.clone()),
            Kind::WrongWithFactor => (known(3).email.clone(), wrong()),
            Kind::Nobody => (format!("user-{}@nobody.example", round % EACH), wrong()),
        }
    }
}

/// Switches 2FA on by an authenticator app, as a person does who has just signed in.
async fn set_up_app(channel: &Channel, user: &User) -> Result<()> {
    let asked = request(
        user.email.clone(),
        user.password.clone(),
        Ipv4Addr::new(10, 0, 0, 1),
    )?;
    let answer = SignInServiceClient::new(channel.clone())
        .sign_in(asked)
        .await?;
    let token = answer.into_inner().session_token;
    let bearer: MetadataValue<Ascii> = format!("Bearer {token}").parse()?;
    let mut client = TwoFactorServiceClient::new(channel.clone());
    let mut asked = Request::new(BeginAuthenticatorRequest {});
    asked.metadata_mut().insert("authorization", bearer.clone());
    let begun = client.begin_authenticator(asked).await?.into_inner();
    let mut asked = Request::new(ConfirmAuthenticatorRequest {
        enrolment: begun.enrolment,
        code: AuthenticatorApp::of(&begun.secret).shows(SystemClock.now()),
    });
    asked.metadata_mut().insert("authorization", bearer);
    client.confirm_authenticator(asked).await?;
    Ok(())
}

/// The one who asks.
struct Caller {
    client: SignInServiceClient<Channel>,
    tried: u32,
}

impl Caller {
    /// Milliseconds until the answer, which must be the kind's.
    async fn try_one(&mut self, people: &People<'_>, kind: Kind, round: usize) -> Result<f64> {
        let (email, password) = people.typed(kind, round);
        // Each from a network of its own, of 24 bits.
        let address = Ipv4Addr::new(11, 0, 0, 1).to_bits() + (self.tried << 8);
        self.tried += 1;
        let asked = request(email, password, Ipv4Addr::from_bits(address))?;
        let started = Instant::now();
        let answer = self.client.sign_in(asked).await;
        let took = started.elapsed().as_secs_f64() * 1_000.0;
        match answer {
            Ok(_) => ensure!(kind.is_right(), "{}: got in", kind.name()),
            Err(status) => {
                let reason = Refusal::from_status(&status).map(|refusal| refusal.reason);
                if kind.is_right() || reason.as_deref() != Some("sign_in.failed") {
                    return Err(anyhow!(status).context(kind.name()));
                }
            }
        }
        Ok(took)
    }
}

impl Report {
    fn of(samples: &[Vec<f64>; 5], random: &mut Random) -> Result<Self> {
        let of = |kind: Kind| {
            let place = Kind::ALL.iter().position(|known| *known == kind);
            place.map_or(&[][..], |place| samples[place].as_slice())
        };
        let kinds = Kind::ALL.map(|kind| Times {
            kind: kind.name(),
            samples: of(kind).len(),
            p5_ms: compare::quantile(of(kind), 0.05),
            median_ms: compare::quantile(of(kind), 0.5),
            p95_ms: compare::quantile(of(kind), 0.95),
        });
        let mut pairs = Vec::new();
        for (first, second, same_words) in PAIRS {
            pairs.push(Pair {
                first: first.name(),
                second: second.name(),
                same_words,
                comparison: Comparison::of(of(first), of(second), random),
            });
        }
        Ok(Self {
            machine: Machine::this(),
            kinds: kinds.into(),
            pairs,
        })
    }

    fn table(&self) -> String {
        let mut table = format!("{}\n", self.machine);
        for Times {
            kind,
            samples,
            p5_ms,
            median_ms,
            p95_ms,
        } in &self.kinds
        {
            let _ = writeln!(
                table,
                "{kind:<32} {samples:>6} samples  median {median_ms:>8.3} ms  \
                 5 % {p5_ms:>8.3}  95 % {p95_ms:>8.3}"
            );
        }
        for pair in &self.pairs {
            let Comparison {
                difference_ms,
                low_ms,
                high_ms,
                slower,
                p,
            } = pair.comparison;
            let (first, second) = (pair.first, pair.second);
            let words = if pair.same_words { "same" } else { "other" };
            let _ = writeln!(
                table,
                "{first} − {second} ({words} words): {difference_ms:+.3} ms \
                 ({low_ms:+.3} to {high_ms:+.3}), slower {:.1} %, p {p:.3}",
                slower * 100.0
            );
        }
        table
    }
}
