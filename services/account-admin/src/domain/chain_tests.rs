use proptest::prelude::*;

use super::*;

const ORGANISATION: Uuid = Uuid::from_u128(7);

fn log(length: i64) -> (Vec<Row>, Mark) {
    let mut head = Mark::START;
    let mut rows = Vec::new();
    for n in 1..=length {
        let person = Person {
            salt: format!("salt-{n}"),
            client_ip: "192.0.2.7".into(),
            ..Person::default()
        };
        let content = Content {
            event_id: Uuid::from_u128(n as u128),
            occurred_at: 1_764_000_000_000 + n,
            kind: "authn_login_success".into(),
            result: "success".into(),
            actor: "u-1".into(),
            target: String::new(),
            reason: String::new(),
            request_id: format!("r-{n}"),
            details: [("a".to_owned(), "b".to_owned())].into(),
            person_hash: person.hash(),
        };
        let hash = content.hash(ORGANISATION, head);
        rows.push(Row {
            sequence: n,
            content,
            previous_hash: head.hash,
            hash,
            side: Side::Present(person),
        });
        head = Mark { sequence: n, hash };
    }
    (rows, head)
}

fn findings(rows: &[Row], head: Mark) -> Vec<Finding> {
    verify(ORGANISATION, Mark::START, head, rows).findings
}

/// Computes the hashes of a bent log anew, as somebody with the database would.
fn rehash(rows: &mut [Row], from: usize) {
    for n in from..rows.len() {
        let previous = if n == 0 {
            Mark::START
        } else {
            Mark {
                sequence: rows[n - 1].sequence,
                hash: rows[n - 1].hash,
            }
        };
        rows[n].previous_hash = previous.hash;
        rows[n].hash = rows[n].content.hash(ORGANISATION, previous);
    }
}

#[test]
fn a_whole_log_is_intact_from_its_start_or_from_a_checkpoint() {
    let (rows, head) = log(6);
    assert!(verify(ORGANISATION, Mark::START, head, &rows).is_intact());
    let checkpoint = Mark {
        sequence: 4,
        hash: rows[3].hash,
    };
    let report = verify(ORGANISATION, checkpoint, head, &rows[4..]);
    assert!(report.is_intact());
    assert_eq!((report.rows, report.retired), (2, 4));
    assert!(verify(ORGANISATION, Mark::START, Mark::START, &[]).is_intact());
}

#[test]
fn a_log_that_grew_behind_a_published_head_is_intact() {
    let (rows, _) = log(6);
    let published = Mark {
        sequence: 4,
        hash: rows[3].hash,
    };
    assert!(findings(&rows, published).is_empty());
}

#[test]
fn removed_and_cut_off_rows_are_told_apart() {
    let (mut rows, head) = log(6);
    rows.drain(2..4);
    assert_eq!(
        findings(&rows, head),
        [Finding::Removed { first: 3, last: 4 }]
    );
    let (rows, head) = log(6);
    assert_eq!(
        findings(&rows[..4], head),
        [Finding::CutOff { first: 5, last: 6 }]
    );
    assert_eq!(
        findings(&rows[1..], head),
        [Finding::Removed { first: 1, last: 1 }]
    );
}

#[test]
fn retired_without_its_checkpoint_counts_as_removed() {
    let (rows, head) = log(3);
    let wrong = Mark {
        sequence: 1,
        hash: [9; 32],
    };
    assert_eq!(
        verify(ORGANISATION, wrong, head, &rows[1..]).findings,
        [Finding::Edited { sequence: 2 }]
    );
}

#[test]
fn an_edit_shows_also_when_the_hashes_are_made_anew() {
    let (mut rows, head) = log(4);
    rows[1].content.actor = "u-2".into();
    assert_eq!(findings(&rows, head), [Finding::Edited { sequence: 2 }]);
    // One row with a new hash: its successor does not follow.
    let previous = Mark {
        sequence: 1,
        hash: rows[0].hash,
    };
    rows[1].hash = rows[1].content.hash(ORGANISATION, previous);
    assert_eq!(findings(&rows, head), [Finding::Edited { sequence: 3 }]);
    // All rows with new hashes: the head, if kept elsewhere, does not agree.
    rehash(&mut rows, 1);
    assert_eq!(findings(&rows, head), [Finding::Rewritten { sequence: 4 }]);
}

#[test]
fn a_row_that_was_put_in_or_moved_shows() {
    let (mut rows, head) = log(4);
    rows.swap(1, 2);
    assert!(!findings(&rows, head).is_empty());
    let (mut rows, head) = log(4);
    rows.insert(2, rows[1].clone());
    assert!(findings(&rows, head).contains(&Finding::Edited { sequence: 2 }));
}

#[test]
fn erased_persons_are_in_order_and_lost_or_bent_ones_are_not() {
    let (mut rows, head) = log(4);
    rows[0].side = Side::Erased;
    rows[1].side = Side::Missing;
    if let Side::Present(person) = &mut rows[2].side {
        person.client_ip = "198.51.100.1".into();
    }
    let report = verify(ORGANISATION, Mark::START, head, &rows);
    assert_eq!(report.erased, 1);
    assert_eq!(
        report.findings,
        [
            Finding::PersonRemoved { sequence: 2 },
            Finding::PersonEdited { sequence: 3 },
        ]
    );
}

#[test]
fn another_organisations_rows_do_not_verify() {
    let (rows, head) = log(1);
    let report = verify(Uuid::from_u128(8), Mark::START, head, &rows);
    assert_eq!(report.findings, [Finding::Edited { sequence: 1 }]);
}

proptest! {
    /// Whatever single field of whatever row is changed, that row is named.
    #[test]
    fn every_field_counts(row in 0usize..5, field in 0usize..10, bent in "[a-z]{1,8}") {
        let (mut rows, head) = log(5);
        let content = &mut rows[row].content;
        match field {
            0 => content.event_id = Uuid::from_u128(999),
            1 => content.occurred_at += 1,
            2 => content.kind.push_str(&bent),
            3 => content.result.push_str(&bent),
            4 => content.actor.push_str(&bent),
            5 => content.target.push_str(&bent),
            6 => content.reason.push_str(&bent),
            7 => content.request_id.push_str(&bent),
            8 => { content.details.insert(format!("z{bent}"), bent); }
            _ => content.details = [("ab".to_owned(), String::new())].into(),
        }
        let sequence = row as i64 + 1;
        prop_assert_eq!(findings(&rows, head), vec![Finding::Edited { sequence }]);
    }
}
