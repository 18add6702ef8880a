//! Traffic to try the guard with: users of several countries who enrol and sign in by day, and an
//! attack. The same options give the same file, on every machine: only integers are computed with.
//!
//! The countries say nothing about the people there: they are a few large ones, and small ones for
//! the attacks, because pumping pays where messages are dear and a deployment has few users.

use sallyport_phone::{PhoneError, PhoneNumber};

use super::traffic::Row;
use crate::domain::challenge::Purpose;

/// 5 January 2026, 00:00 UTC.
const START: i64 = 1_767_571_200_000;
const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// The attack begins after so many days: the guard looks back fourteen.
const QUIET_DAYS: i64 = 14;
/// Days in all.
const DAYS: i64 = 17;

/// How many codes each hour of the local day has, of their sum.
const HOURS: [u64; 24] = [
    1, 1, 1, 1, 1, 2, 5, 12, 28, 40, 38, 34, 26, 34, 38, 36, 32, 26, 16, 10, 8, 6, 4, 2,
];
/// Each of a thousand: users who sign in on a day; new users, on a day, of those there are.
const SIGN_INS: u64 = 550;
const NEWCOMERS: u64 = 10;
/// Each of a thousand: codes that are given right, and people who ask for another one after that.
const SIGN_IN_RIGHT: u64 = 960;
const SIGN_IN_AGAIN: u64 = 800;
const ENROLMENT_RIGHT: u64 = 850;
const ENROLMENT_AGAIN: u64 = 700;
const ENROLMENT_TRIES: u32 = 3;
/// Each of a thousand: licensed users whose next try is another number or session, and so counts.
const OTHER_NUMBER: u64 = 200;
/// Each of a thousand: pumped codes that are given right, to look better than they are.
const PUMPED_RIGHT: u64 = 10;

/// Where users live: how their numbers begin, how many digits tell number blocks apart, how many
/// users there are, and how many hours their clocks are ahead of UTC.
struct Region {
    stem: &'static str,
    block_digits: u32,
    users: u64,
    ahead: i64,
}

const fn region(stem: &'static str, block_digits: u32, users: u64, ahead: i64) -> Region {
    Region {
        stem,
        block_digits,
        users,
        ahead,
    }
}

const BUSY: Region = region("+336", 4, 2_000, 1);
const PUMPED: Region = region("+99450", 3, 40, 4);
const SLOW: Region = region("+99890", 3, 60, 5);
const REGIONS: [Region; 8] = [
    BUSY,
    region("+447400", 2, 900, 0),
    region("+49151", 4, 700, 1),
    region("+16135", 2, 500, -5),
    region("+32470", 2, 300, 1),
    region("+22177", 3, 120, 0),
    PUMPED,
    SLOW,
];

/// What is attacked, besides good traffic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attack {
    /// Nothing.
    None,
    /// One country, at 400 codes an hour for a day, in twenty number blocks.
    Country,
    /// Many prefixes of a country with few users, at 40 codes an hour for 60 hours: five a prefix.
    Slow,
    /// The same in the country with the most users, where it hides best.
    Busy,
}

/// What is generated.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Another seed, another file.
    pub seed: u64,
    /// The attack.
    pub attack: Attack,
    /// Licensed users, of a hundred new ones: their one live code is trusted.
    pub licensed_percent: u64,
}

/// Generates the traffic, in the order of its instants.
///
/// # Errors
/// A number of the tables above is none: a test would have said so.
pub fn generate(options: &Options) -> Result<Vec<Row>, PhoneError> {
    let mut rows = Vec::new();
    for (index, region) in (0..).zip(&REGIONS) {
        let mut people = People {
            random: Random::new(options.seed, index),
            region,
            blocks: Vec::new(),
            rows: &mut rows,
        };
        let blocks = (region.users / 25).max(2);
        people.draw_blocks(blocks);
        people.live(options.licensed_percent)?;
    }
    let attack = match options.attack {
        Attack::None => None,
        Attack::Country => Some((&PUMPED, 20, 24, 400)),
        Attack::Slow => Some((&SLOW, 500, 60, 40)),
        Attack::Busy => Some((&BUSY, 2_000, 60, 40)),
    };
    if let Some((region, blocks, hours, per_hour)) = attack {
        let mut people = People {
            random: Random::new(options.seed, 999),
            region,
            blocks: Vec::new(),
            rows: &mut rows,
        };
        people.draw_blocks(blocks);
        people.pump(hours, per_hour)?;
    }
    rows.sort_by(|a, b| (a.at, a.number.e164()).cmp(&(b.at, b.number.e164())));
    Ok(rows)
}

/// Users of one region, or attackers there.
struct People<'a> {
    random: Random,
    region: &'a Region,
    blocks: Vec<u64>,
    rows: &'a mut Vec<Row>,
}

impl People<'_> {
    fn draw_blocks(&mut self, count: u64) {
        let all = 10u64.pow(self.region.block_digits);
        self.blocks = (0..count).map(|_| self.random.below(all)).collect();
    }

    fn number(&mut self) -> Result<PhoneNumber, PhoneError> {
        let drawn = self.random.below(self.blocks.len() as u64);
        let block = self.blocks.get(drawn as usize).copied().unwrap_or_default();
        let subscriber = self.random.below(10_000);
        let (stem, width) = (self.region.stem, self.region.block_digits as usize);
        PhoneNumber::parse_e164(&format!("{stem}{block:0width$}{subscriber:04}"))
    }

    /// An instant of a day, by day rather than by night where the people are.
    fn instant(&mut self, day: i64) -> i64 {
        let mut left = self.random.below(HOURS.iter().sum());
        let mut local = 0;
        for (hour, weight) in (0..).zip(HOURS) {
            local = hour;
            if left < weight {
                break;
            }
            left -= weight;
        }
        let hour = (local - self.region.ahead).rem_euclid(24);
        START + day * DAY + hour * HOUR + self.seconds(0, 3_600)
    }

    /// So many seconds and up to so many more, in milliseconds.
    fn seconds(&mut self, least: i64, more: u64) -> i64 {
        (least + self.random.below(more) as i64) * SECOND
    }

    fn live(&mut self, licensed_percent: u64) -> Result<(), PhoneError> {
        for _ in 0..self.region.users {
            let number = self.number()?;
            self.sign_in_from(&number, 0);
        }
        let expected = self.region.users * NEWCOMERS;
        for day in 0..DAYS {
            let one_more = u64::from(self.random.chance(expected % 1_000));
            for _ in 0..expected / 1_000 + one_more {
                let number = self.number()?;
                let is_licensed = self.random.chance(licensed_percent * 10);
                if self.enrol(&number, day, is_licensed) {
                    self.sign_in_from(&number, day + 1);
                }
            }
        }
        Ok(())
    }

    /// Signs in on some days; those codes are trusted.
    fn sign_in_from(&mut self, number: &PhoneNumber, first_day: i64) {
        for day in first_day..DAYS {
            if !self.random.chance(SIGN_INS) {
                continue;
            }
            let at = self.instant(day);
            let is_right = self.random.chance(SIGN_IN_RIGHT);
            let verified_at = is_right.then(|| at + self.seconds(5, 60));
            self.put(at, number, Purpose::SignIn, true, verified_at);
            if !is_right && self.random.chance(SIGN_IN_AGAIN) {
                let at = at + self.seconds(60, 300);
                let verified_at = at + self.seconds(5, 60);
                self.put(at, number, Purpose::SignIn, true, Some(verified_at));
            }
        }
    }

    /// Enrols, or gives up; answers with which.
    fn enrol(&mut self, number: &PhoneNumber, day: i64, is_licensed: bool) -> bool {
        let mut at = self.instant(day);
        let mut trusted = is_licensed;
        for _ in 0..ENROLMENT_TRIES {
            let is_right = self.random.chance(ENROLMENT_RIGHT);
            let verified_at = is_right.then(|| at + self.seconds(8, 120));
            self.put(at, number, Purpose::Enrolment, trusted, verified_at);
            if is_right {
                return true;
            }
            if !self.random.chance(ENROLMENT_AGAIN) {
                return false;
            }
            at += self.seconds(60, 900);
            trusted = is_licensed && !self.random.chance(OTHER_NUMBER);
        }
        false
    }

    /// Asks for codes that nobody reads.
    fn pump(&mut self, hours: i64, per_hour: u64) -> Result<(), PhoneError> {
        let begins = START + QUIET_DAYS * DAY + 9 * HOUR;
        for hour in 0..hours {
            for _ in 0..per_hour {
                let at = begins + hour * HOUR + self.seconds(0, 3_600);
                let number = self.number()?;
                let is_right = self.random.chance(PUMPED_RIGHT);
                let verified_at = is_right.then(|| at + self.seconds(5, 30));
                self.rows.push(Row {
                    at,
                    number,
                    purpose: Purpose::Enrolment,
                    trusted: false,
                    verified_at,
                    pumped: Some(true),
                });
            }
        }
        Ok(())
    }

    fn put(
        &mut self,
        at: i64,
        number: &PhoneNumber,
        purpose: Purpose,
        trusted: bool,
        verified_at: Option<i64>,
    ) {
        self.rows.push(Row {
            at,
            number: number.clone(),
            purpose,
            trusted,
            verified_at,
            pumped: Some(false),
        });
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): small, even, and the same everywhere. Not for secrets.
struct Random(u64);

impl Random {
    fn new(seed: u64, stream: u64) -> Self {
        Self(seed.wrapping_mul(1_000).wrapping_add(stream))
    }

    fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Evenly below a bound.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.draw()) * u128::from(bound)) >> 64) as u64
    }

    /// True so often of a thousand times.
    fn chance(&mut self, of_a_thousand: u64) -> bool {
        self.below(1_000) < of_a_thousand
    }
}
