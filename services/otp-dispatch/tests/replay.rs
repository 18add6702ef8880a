//! The guard against generated traffic: how much of an attack it stops, and whom that costs a code.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use otp_dispatch::Config;
use otp_dispatch::config::{PROCESS, SECRETS, SETTINGS};
use otp_dispatch::domain::challenge::Purpose;
use otp_dispatch::domain::guard::Budgets;
use otp_dispatch::replay::generator::{Attack, Options, generate};
use otp_dispatch::replay::traffic::{Kind, Row, read, write};
use otp_dispatch::replay::{Report, curve, replay};
use sallyport_phone::PhoneNumber;

const SEEDS: [u64; 3] = [1, 2, 3];
const MINUTE: i64 = 60_000;

fn defaults() -> Budgets {
    let text = format!("{PROCESS}\n{SETTINGS}");
    let config: Config = sallyport_chassis::config::load(&text, SECRETS, None, []).unwrap();
    config.otp.guard.budgets()
}

fn traffic(seed: u64, attack: Attack) -> Vec<Row> {
    generate(&Options {
        seed,
        attack,
        licensed_percent: 85,
    })
    .unwrap()
}

fn assert_held(report: &Report, told: &str) {
    assert!(report.pumped > 2_000, "{told}: {report:?}");
    assert!(report.stopped_percent() >= 95.0, "{told}: {report:?}");
    assert!(report.lost_percent() <= 0.1, "{told}: {report:?}");
}

#[test]
fn nobody_is_refused_while_nobody_pumps() {
    for seed in SEEDS {
        let rows = traffic(seed, Attack::None);
        let report = replay(&rows, defaults());
        assert!(report.good_users > 4_000, "{report:?}");
        assert_eq!((report.blocked, report.pumped), (0, 0), "seed {seed}");
    }
}

#[test]
fn pumping_in_one_country_is_stopped_and_the_others_do_not_notice() {
    for seed in SEEDS {
        let report = replay(&traffic(seed, Attack::Country), defaults());
        assert_held(&report, &format!("seed {seed}"));
        for country in &report.countries {
            assert_eq!(country.blocked > 0, country.country == "AZ", "{country:?}");
        }
    }
}

#[test]
fn a_slow_attack_over_many_prefixes_is_stopped() {
    for seed in SEEDS {
        let rows = traffic(seed, Attack::Slow);
        let prefixes: std::collections::HashSet<&str> = rows
            .iter()
            .filter(|row| row.kind() == Kind::Pumped)
            .map(|row| row.number.prefix())
            .collect();
        assert!(prefixes.len() > 300, "{}", prefixes.len());
        assert_held(&replay(&rows, defaults()), &format!("seed {seed}"));
    }
}

/// Licences make it easy: the guard does not look at the first code of a licensed user. Without any,
/// what holds in the attacked countries holds still.
#[test]
fn where_nobody_has_a_licence_the_guard_holds_too() {
    let report = |attack| {
        let rows = generate(&Options {
            seed: 1,
            attack,
            licensed_percent: 0,
        });
        replay(&rows.unwrap(), defaults())
    };
    assert_eq!(report(Attack::None).blocked, 0);
    for attack in [Attack::Country, Attack::Slow] {
        assert_held(&report(attack), &format!("{attack:?}"));
    }
    // In the busiest country people pay for it.
    let busy = report(Attack::Busy);
    assert!(busy.lost_percent() > 0.1, "{busy:?}");
}

/// What the budgets do not do, said in docs/fraud.md too: in the country with the most users an
/// attack that is small beside them hides in their budget, and a factor that finds it finds people.
#[test]
fn in_a_busy_country_a_slow_attack_is_bounded_and_only_a_smaller_factor_stops_it() {
    let rows = traffic(1, Attack::Busy);
    let points = curve(&rows, defaults(), &[2, 30]);
    let [(_, strict), (_, default)] = points.as_slice() else {
        panic!("{points:?}");
    };
    assert!(strict.stopped_percent() >= 95.0, "{strict:?}");
    assert!(default.stopped_percent() < 95.0, "{default:?}");
    assert!(default.lost_percent() <= 0.1, "{default:?}");
    assert!(strict.good_users_lost > default.good_users_lost);
}

#[test]
fn a_larger_factor_never_stops_more() {
    let rows = traffic(1, Attack::Busy);
    let points = curve(&rows, defaults(), &[2, 10, 30, 100]);
    for pair in points.windows(2) {
        assert!(
            pair[0].1.pumped_stopped >= pair[1].1.pumped_stopped,
            "{pair:?}"
        );
    }
}

#[test]
fn the_curve_in_docs_is_the_simulated_one() {
    let factors = [2, 10, 20, 30, 50, 100];
    let curves = std::thread::scope(|scope| {
        [Attack::Country, Attack::Slow, Attack::Busy]
            .map(|attack| scope.spawn(move || curve(&traffic(1, attack), defaults(), &factors)))
            .map(|running| running.join().unwrap())
    });
    let mut expected = String::new();
    for (index, factor) in factors.iter().enumerate() {
        expected.push_str(&format!("| {factor} |"));
        for points in &curves {
            let (_, report) = &points[index];
            let stopped = report.stopped_percent();
            expected.push_str(&format!(" {stopped:.2} | {} |", report.good_users_lost));
        }
        expected.push('\n');
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/fraud.md");
    let page = std::fs::read_to_string(path).unwrap();
    assert!(page.contains(&expected), "the curve is now:\n{expected}");
}

#[test]
fn the_same_seed_makes_the_same_file_and_it_is_read_as_it_was_written() {
    let rows = traffic(7, Attack::Country);
    assert_eq!(rows, traffic(7, Attack::Country));
    assert_ne!(rows, traffic(8, Attack::Country));
    let read = read(&write(&rows)).unwrap();
    assert_eq!(read, rows);
    assert!(rows.is_sorted_by_key(|row| row.at));
}

/// A refused code is verified by nobody, and an unmarked file is judged by what was verified.
#[test]
fn a_file_without_marks_counts_those_who_verified_as_good() {
    let row = |minute: i64, number: u32, verified: bool| {
        let at = 1_764_000_000_000 + minute * MINUTE;
        Row {
            at,
            number: PhoneNumber::parse_e164(&format!("+33612{number:06}")).unwrap(),
            purpose: Purpose::Enrolment,
            trusted: false,
            verified_at: verified.then_some(at + MINUTE),
            pumped: None,
        }
    };
    // Three that nobody verifies close the prefix for an hour.
    let mut rows: Vec<Row> = (0..3).map(|n| row(0, n, false)).collect();
    rows.push(row(11, 7, true));
    rows.push(row(12, 8, false));
    // By then they have left the hour.
    rows.push(row(61, 9, true));
    let report = replay(&rows, defaults());
    assert_eq!((report.codes, report.blocked, report.pumped), (6, 2, 0));
    assert_eq!((report.good_users, report.good_users_lost), (2, 1));
    assert_eq!(report.messages_saved, 1);
    assert_eq!(report.prefixes[0].prefix, "+3361200");
    assert_eq!(report.prefixes[0].blocked, 2);
}
