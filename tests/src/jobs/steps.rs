//! Any course of calls, made to a store and to the model: both must answer the same, and hold the same in the end.
//! What the contract leaves open is not asked.

use bulkhead::jobs::{
    CallbackEnd, Claim, End, Forget, HandBack, JobStore, Kind, Lease, Listing, NewJob, Priority,
    Reclaim, Record, Renewal, Status, Time,
};
use uuid::Uuid;

use super::Bench;
use super::made::{
    HOST, OTHER, analysis, back, digest, error, failure, hours, id_at, idempotency, job, millis,
    plugin, renewal, shown, success,
};
use super::model::{Model, listed};

/// Three numbers that stand for a call: which, and two that its arguments are made from.
pub type Step = (u8, u8, u8);

const PLUGINS: [&str; 3] = ["decode", "hash", "ocr"];

#[derive(Clone, Debug)]
enum Call {
    Add(Vec<NewJob>),
    Note(Box<Record>),
    Claim(Claim),
    Renew(Vec<Renewal>, Time),
    Finish(End),
    HandBack(HandBack),
    Reclaim(Reclaim, Time),
    Cancel(Uuid, Option<String>, Time),
    FailPending(Uuid, Time),
    Retry(Uuid, Option<String>, Time),
    List(Listing),
    Count,
    Without(Time),
    NextDue,
    Due(Time),
    Told(CallbackEnd),
    Forget(Forget),
    Unused(Vec<Uuid>),
}

/// What both have done so far, as far as the next call needs it.
#[derive(Default)]
struct Course {
    jobs: Vec<Uuid>,
    leases: Vec<Lease>,
}

/// Makes the calls that `steps` stand for.
///
/// # Errors
/// The first call that the store answers otherwise than the model, with both answers.
pub async fn compare(bench: &Bench, steps: &[Step]) -> Result<(), String> {
    let model = Model::default();
    let mut course = Course::default();
    for (place, step) in steps.iter().enumerate() {
        bench.pass(millis(i64::from(step.2) * 7 + 1));
        let Some(call) = course.call(*step, bench.now(), &model) else {
            continue;
        };
        let expected = answer(&model, call.clone(), &mut course).await;
        let handle = [bench.store(), bench.other()][place % 2].clone();
        let found = answer(&*handle, call.clone(), &mut Course::default()).await;
        same(&expected, &found, || format!("step {place}: {call:#?}"))?;
    }
    bench.reopen().await;
    for id in course.jobs {
        let expected = model.get(id, None).await;
        let found = bench.store().get(id, None).await;
        let of = |record: Result<Option<Record>, _>| format!("{record:#?}");
        same(&of(expected), &of(found), || format!("the end of {id}"))?;
    }
    Ok(())
}

fn same(expected: &str, found: &str, what: impl Fn() -> String) -> Result<(), String> {
    if expected == found {
        return Ok(());
    }
    let what = what();
    Err(format!("{what}\nthe model: {expected}\nthe store: {found}"))
}

impl Course {
    /// The job, or one that there never was.
    fn job(&self, number: u8, now: Time) -> Uuid {
        let place = usize::from(number) % (self.jobs.len() + 1);
        self.jobs.get(place).copied().unwrap_or_else(|| id_at(now))
    }

    /// One of the latest leases: some of them count no more.
    fn lease(&self, number: u8) -> Option<Lease> {
        let place = usize::from(number) % self.leases.len().clamp(1, 12);
        self.leases.iter().rev().nth(place).copied()
    }

    fn call(&self, (which, a, b): Step, now: Time, model: &Model) -> Option<Call> {
        let owner =
            (b.is_multiple_of(5)).then(|| ["anna", "bert"][usize::from(b / 5 % 2)].to_owned());
        let lease = || self.lease(a);
        Some(match which % 24 {
            0..=3 => Call::Add((0..=b % 3).map(|more| added(a, b ^ more, now)).collect()),
            4 => Call::Note(Box::new(analysis(PLUGINS[usize::from(a % 3)], now))),
            5..=7 => Call::Claim(claim(a, b, now)),
            8 => Call::Renew(vec![renewed(lease()?, b)], now + millis(i64::from(b) * 9)),
            9..=11 => Call::Finish(finished(lease()?, b, now)),
            12 | 13 => Call::HandBack(handed_back(lease()?, b, now, model)),
            14 => Call::Reclaim(reclaimed(a), now),
            15 => Call::Cancel(self.job(a, now), owner, now),
            16 => Call::FailPending(self.job(a, now), now),
            17 => Call::Retry(self.submitted(a, now, model)?, owner, now),
            18 => Call::List(listing(a, b, owner, self)),
            19 if a.is_multiple_of(3) => Call::Count,
            19 if a % 3 == 1 => Call::Without(now - millis(1)),
            19 => Call::NextDue,
            20 => Call::Due(now),
            21 => Call::Told(told(self.job(a, now), b, now)),
            22 => Call::Unused(self.jobs.iter().take(9).copied().collect()),
            _ if model.has_ends_at_once() => return None,
            _ => Call::Forget(Forget {
                ended_before: now - millis(i64::from(a) * 20),
                keep: u64::from(b % 16),
                most: u32::from(a % 4),
            }),
        })
    }

    /// A job that was submitted: what a retry of an analysis is, is not said.
    fn submitted(&self, number: u8, now: Time, model: &Model) -> Option<Uuid> {
        let id = self.job(number, now);
        let is_analysis = model.job(id).is_some_and(|job| job.kind == Kind::Analysis);
        (!is_analysis).then_some(id)
    }

    fn saw(&mut self, records: &[Record]) {
        self.leases.extend(records.iter().map(Record::lease));
    }
}

fn added(a: u8, b: u8, now: Time) -> NewJob {
    let place = usize::from(a);
    let waits = i64::from(b % 4) * i64::from(a) * 3;
    NewJob {
        owner: (!a.is_multiple_of(3)).then(|| ["anna", "bert"][place % 2].to_owned()),
        priority: Priority::ALL[usize::from(b) % 3],
        not_before: now + millis(waits),
        max_attempts: u32::from(b % 3) + 1,
        idempotency: (b.is_multiple_of(4))
            .then(|| idempotency(["k", "l"][place % 2], ["x", "y"][place / 2 % 2]))
            .flatten(),
        callback_url: (a.is_multiple_of(2)).then(|| "https://example.com".to_owned()),
        claim: (b.is_multiple_of(7)).then(|| (OTHER, now + millis(500))),
        ..job(PLUGINS[place % 3], now)
    }
}

fn claim(a: u8, b: u8, now: Time) -> Claim {
    Claim {
        host: [HOST, OTHER][usize::from(a % 2)],
        plugins: vec![
            (plugin(PLUGINS[usize::from(a % 3)]), u32::from(b % 4)),
            (plugin(PLUGINS[(usize::from(a) + 1) % 3]), 1),
        ],
        now,
        until: now + millis(i64::from(b) * 11 + 1),
    }
}

fn renewed(lease: Lease, b: u8) -> Renewal {
    Renewal {
        progress: f32::from(b) / 256.0,
        log: (b.is_multiple_of(2)).then(|| format!("[{b}]")),
        ..renewal(lease)
    }
}

fn finished(lease: Lease, b: u8, now: Time) -> End {
    let mut end = match b % 3 {
        0 => failure(lease, now),
        _ => success(lease, now),
    };
    end.started_at = (b.is_multiple_of(4)).then(|| now - millis(1));
    end.log = (b.is_multiple_of(5)).then(|| format!("[{b}]"));
    end
}

/// Whether an attempt that does not count is taken from a job that ends is not said.
fn handed_back(lease: Lease, b: u8, now: Time, model: &Model) -> HandBack {
    let job = model.job(lease.job);
    HandBack {
        not_before: now + millis(i64::from(b) * 5),
        is_counted: b.is_multiple_of(2) || job.is_none_or(|job| job.cancel_asked),
        error: (b.is_multiple_of(3)).then(|| error("crash")),
        log: (b.is_multiple_of(5)).then(|| format!("[{b}]")),
        ..back(lease, now)
    }
}

fn reclaimed(a: u8) -> Reclaim {
    match a % 4 {
        0 => Reclaim::Of(HOST),
        1 => Reclaim::Of(OTHER),
        _ => Reclaim::Expired,
    }
}

fn listing(a: u8, b: u8, owner: Option<String>, course: &Course) -> Listing {
    Listing {
        owner,
        status: Status::ALL.get(usize::from(a % 8)).copied(),
        plugin: (b.is_multiple_of(3)).then(|| plugin(PLUGINS[usize::from(a % 3)])),
        kind: [None, Some(Kind::Submitted), Some(Kind::Analysis)][usize::from(b % 7 % 3)],
        before: course.jobs.get(usize::from(a)).copied(),
        limit: u32::from(b),
    }
}

fn told(job: Uuid, b: u8, now: Time) -> CallbackEnd {
    CallbackEnd {
        job,
        delivered_at: (b.is_multiple_of(3)).then_some(now),
        due: (b % 3 == 1).then(|| now + millis(i64::from(b))),
        error: (!b.is_multiple_of(3)).then(|| "answered 500".to_owned()),
    }
}

/// Makes one call, and gives the answer as text.
async fn answer(store: &dyn JobStore, call: Call, course: &mut Course) -> String {
    match call {
        Call::Add(jobs) => {
            course.jobs.extend(jobs.iter().map(|job| job.id));
            let claimed = jobs.iter().filter(|job| job.claim.is_some());
            course.leases.extend(claimed.map(|job| Lease {
                job: job.id,
                fence: 1,
            }));
            format!("{:#?}", store.add(jobs).await)
        }
        Call::Note(record) => {
            course.jobs.push(record.id);
            format!("{:?}", store.note(vec![*record]).await)
        }
        Call::Claim(claim) => {
            let claimed = store.claim(claim).await;
            course.saw(claimed.as_deref().unwrap_or_default());
            in_order(claimed)
        }
        Call::List(listing) => {
            let found = store.list(listing).await;
            format!(
                "{:#?}",
                found.map(|all| all.iter().map(shown).collect::<Vec<_>>())
            )
        }
        Call::Due(now) => in_order(store.due_callbacks(now, now + hours(1), 1000).await),
        Call::Without(before) => {
            let served = vec![plugin(PLUGINS[0])];
            let found = store.waiting_without(served, before, 7).await;
            let found = found.map(|all| {
                all.into_iter()
                    .map(|job| listed(job).id)
                    .collect::<Vec<_>>()
            });
            format!("{found:?}")
        }
        Call::Count => {
            let counted = store.count().await.map(|mut counts| {
                counts.sort();
                counts
            });
            format!("{counted:?}")
        }
        other => answer_of_jobs(store, other).await,
    }
}

async fn answer_of_jobs(store: &dyn JobStore, call: Call) -> String {
    match call {
        Call::Renew(renewals, until) => format!("{:?}", store.renew(renewals, until).await),
        Call::Finish(end) => format!("{:?}", store.finish(end).await),
        Call::HandBack(back) => format!("{:?}", store.hand_back(back).await),
        Call::Reclaim(which, now) => {
            format!("{:?}", store.reclaim(which, error("cancelled"), now).await)
        }
        Call::Cancel(id, owner, now) => {
            format!("{:#?}", store.cancel(id, owner, error("x"), now).await)
        }
        Call::FailPending(id, now) => {
            format!("{:?}", store.fail_pending(id, error("y"), now).await)
        }
        Call::Retry(id, owner, now) => format!("{:#?}", store.retry(id, owner, now).await),
        Call::NextDue => {
            let names = PLUGINS[1..].iter().map(|name| plugin(name)).collect();
            format!("{:?}", store.next_due(names).await)
        }
        Call::Told(end) => format!("{:?}", store.end_callback(end).await),
        Call::Forget(forget) => format!("{:?}", store.forget(forget).await),
        Call::Unused(ids) => {
            let asked = ids.iter().map(|id| digest(&id.to_string())).collect();
            let unused = store.unused(asked).await.map(|mut unused| {
                unused.sort();
                unused
            });
            format!("{unused:?}")
        }
        other => unreachable!("{other:?} is answered above"),
    }
}

/// Records in the order of their ids: in which they come is not said.
fn in_order<E: std::fmt::Debug>(records: Result<Vec<Record>, E>) -> String {
    let sorted = records.map(|mut all| {
        all.sort_by_key(|record| record.id);
        all
    });
    format!("{sorted:#?}")
}
