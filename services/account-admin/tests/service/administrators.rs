//! The last active administrator stays one (rule 60), whoever does what at the same time.

use sallyport_proto::admin::v1 as pb;
use sallyport_sql::Database;
use sea_orm::{ConnectionTrait, Statement};
use tonic::{Code, Status};

use crate::on_both;
use crate::world::{Org, Reason, World, by, event};

on_both!(
    the_last_administrator_is_neither_demoted_nor_disabled_nor_deleted,
    of_many_administrators_who_step_down_at_once_one_stays,
    no_order_of_random_changes_by_many_loses_the_last_administrator,
);

/// One who holds every permission.
struct Administrator {
    id: String,
    token: String,
    email: String,
}

/// An organisation with so many administrators who have all set a password.
async fn administrators(world: &World, count: usize) -> (Org, Vec<Administrator>) {
    let org = world.organisation("acme.example", 1).await;
    let set = event(&org, "authn_password_change", &org.admin, world.clock_now());
    world.append(vec![set]).await.unwrap();
    let mut all = vec![Administrator {
        id: org.admin.clone(),
        token: org.token.clone(),
        email: "admin@acme.example".into(),
    }];
    for n in 1..count {
        let local = format!("a{n}");
        let (id, token) = world.administrator(&org, &local).await;
        let email = format!("{local}@acme.example");
        all.push(Administrator { id, token, email });
    }
    (org, all)
}

/// How many active administrators the store holds at this instant.
async fn active(database: &Database) -> i64 {
    let count = "SELECT COUNT(*) FROM users u \
                 JOIN user_role_groups m ON m.user_id = u.id \
                 JOIN role_groups g ON g.id = m.role_group_id \
                 WHERE g.built_in AND u.status = 'active'";
    let statement = Statement::from_string(database.backend(), count);
    let row = database.connection().query_one_raw(statement).await;
    row.unwrap().unwrap().try_get_by_index(0).unwrap()
}

#[derive(Clone, Copy, Debug)]
enum Change {
    Demote,
    Disable,
    Delete,
    Promote,
    Enable,
    Restore,
}

/// Makes one change by what is read just before, as a page does.
async fn make(
    world: &World,
    by_whom: &str,
    group: &str,
    whom: &Administrator,
    change: Change,
) -> Result<(), Status> {
    let user_id = whom.id.clone();
    if let Change::Delete = change {
        return world.delete(by_whom, &whom.id, &whom.email).await.map(drop);
    }
    if let Change::Restore = change {
        let restore = by(by_whom, pb::RestoreUserRequest { user_id });
        return world.users().restore_user(restore).await.map(drop);
    }
    let get = by(by_whom, pb::GetUserRequest { user_id });
    let mut read = world.users().get_user(get).await?.into_inner();
    let fields = read.fields.as_mut().unwrap();
    match change {
        Change::Demote => fields.role_group_ids.clear(),
        Change::Promote => fields.role_group_ids = vec![group.to_owned()],
        Change::Disable => fields.disabled = true,
        Change::Enable => fields.disabled = false,
        Change::Delete | Change::Restore => unreachable!("made above"),
    }
    world.edit(by_whom, &whom.id, &read).await.map(drop)
}

async fn the_last_administrator_is_neither_demoted_nor_disabled_nor_deleted(world: World) {
    let (org, all) = administrators(&world, 2).await;
    let group = world.administrators(&org).await;
    let (last, other) = (&all[0], &all[1]);
    // Somebody invited, who may never come, is no active one.
    let invited = world.add(&org, "bo").await;
    let mut read = world.read(&org.token, &invited).await;
    read.fields.as_mut().unwrap().role_group_ids = vec![group.clone()];
    world.edit(&org.token, &invited, &read).await.unwrap();
    make(&world, &last.token, &group, other, Change::Disable)
        .await
        .unwrap();
    let before = world.read(&last.token, &last.id).await;
    for change in [Change::Demote, Change::Disable, Change::Delete] {
        let refusal = make(&world, &last.token, &group, last, change)
            .await
            .refusal();
        assert_eq!(
            (refusal.code, refusal.reason.as_str()),
            (Code::FailedPrecondition, "admin.last"),
            "{change:?}"
        );
    }
    assert_eq!(world.read(&last.token, &last.id).await, before);
    let log = world.log_of(&org, &last.id).await;
    let refused = log
        .iter()
        .filter(|logged| logged.event.as_ref().unwrap().reason == "admin.last");
    assert_eq!(refused.count(), 3);
    // What is not about it goes on, and with another one he may go.
    make(&world, &last.token, &group, other, Change::Enable)
        .await
        .unwrap();
    make(&world, &last.token, &group, last, Change::Demote)
        .await
        .unwrap();
}

async fn of_many_administrators_who_step_down_at_once_one_stays(world: World) {
    let (org, all) = administrators(&world, 9).await;
    let group = world.administrators(&org).await;
    let steps = [Change::Demote, Change::Disable, Change::Delete];
    let tries = all
        .iter()
        .zip(steps.into_iter().cycle())
        .map(|(own, change)| make(&world, &own.token, &group, own, change));
    let mut refused = 0;
    for outcome in futures::future::join_all(tries).await {
        if outcome.is_err() {
            assert_eq!(outcome.reason(), "admin.last");
            refused += 1;
        }
    }
    assert_eq!(refused, 1);
    assert_eq!(active(&world.database().await).await, 1);
    assert!(world.verify(&org).await.is_intact());
}

/// Numbers that look random, the same in every run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % end
    }
}

async fn no_order_of_random_changes_by_many_loses_the_last_administrator(world: World) {
    const CHANGES: usize = 15;
    let (org, all) = administrators(&world, 6).await;
    let group = world.administrators(&org).await;
    let database = world.database().await;
    // More that takes away than that gives, so that few are left most of the time.
    let kinds = [
        Change::Demote,
        Change::Disable,
        Change::Delete,
        Change::Demote,
        Change::Disable,
        Change::Delete,
        Change::Promote,
        Change::Enable,
        Change::Restore,
    ];
    let clients = all.iter().enumerate().map(|(n, own)| {
        let (world, all, group, database) = (&world, &all, &group, &database);
        async move {
            let mut numbers = Numbers(n as u64 + 1);
            for _ in 0..CHANGES {
                let whom = &all[numbers.below(all.len())];
                let change = kinds[numbers.below(kinds.len())];
                let made = make(world, &own.token, group, whom, change).await;
                if made.is_err() {
                    let reason = made.reason();
                    assert!(
                        [
                            "admin.last",
                            "edit.conflict",
                            "permission.denied",
                            "session.expired",
                            "user.not_found",
                        ]
                        .contains(&reason.as_str()),
                        "{change:?}: {reason}"
                    );
                }
                assert!(active(database).await >= 1, "{change:?} lost the last one");
            }
        }
    });
    futures::future::join_all(clients).await;
    assert!(world.verify(&org).await.is_intact());
}
