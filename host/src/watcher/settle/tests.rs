use proptest::prelude::*;

use super::*;

const PATIENCE: Patience = Patience {
    settle: Duration::from_millis(300),
    unasked: Duration::from_millis(2000),
    removal: Duration::from_millis(1000),
};

/// Looks at a folder, each with its time in milliseconds, the files that it saw and the files that count after it. Files are
/// `name=state`, with a `w` where somebody writes to them, and a `?` where nobody can tell. `/` is a folder that
/// cannot be seen.
fn check(first: &str, looks: &[(u64, &str, &str)]) {
    let start = Instant::now();
    let mut settling = Settling::new(PATIENCE, files(first));
    for (at, seen, expected) in looks {
        let now = start + Duration::from_millis(*at);
        if *seen == "/" {
            settling.lose_sight();
        } else {
            see(&mut settling, seen, now);
        }
        let due = settling.next().is_some_and(|next| next <= now);
        assert!(!due, "{at}: the next time is over");
        assert_eq!(settled(&settling), files(expected), "{at}: {seen}");
    }
}

fn see(settling: &mut Settling<String>, seen: &str, now: Instant) {
    let before = settled(settling);
    settling.observe(files(seen), now);
    settling.remove_gone(now);
    for (name, _) in settling.due(now) {
        let has = |mark: &str| seen.contains(&format!("{}{mark}", name.display()));
        let writer = match () {
            () if has("w") => Writer::Open,
            () if has("?") => Writer::Unknown,
            () => Writer::Closed,
        };
        settling.answer(&name, writer, now);
    }
    assert_eq!(
        settling.take_change(),
        before != settled(settling),
        "{seen}"
    );
}

fn files(text: &str) -> BTreeMap<OsString, String> {
    let files = text.split_ascii_whitespace().map(|file| {
        let (name, state) = file.split_once('=').unwrap();
        (name.trim_end_matches(['w', '?']).into(), state.to_owned())
    });
    files.collect()
}

fn settled(settling: &Settling<String>) -> BTreeMap<OsString, String> {
    let settled = settling.settled();
    settled
        .map(|(name, state)| (name.clone(), state.clone()))
        .collect()
}

#[test]
fn a_file_counts_once_it_has_stood_still() {
    check("", &[(0, "a=1", ""), (299, "a=1", ""), (300, "a=1", "a=1")]);
    check(
        "a=1",
        &[(0, "a=2", "a=1"), (299, "a=2", "a=1"), (300, "a=2", "a=2")],
    );
    check(
        "a=1",
        &[
            (0, "a=2", "a=1"),
            (290, "a=3", "a=1"),
            (580, "a=4", "a=1"),
            (879, "a=4", "a=1"),
            (880, "a=4", "a=4"),
        ],
    );
}

#[test]
fn files_wait_for_themselves_alone() {
    check(
        "c=1",
        &[
            (0, "a=1 c=1", "c=1"),
            (200, "a=1 b=1 c=1", "c=1"),
            (300, "a=1 b=2 c=1", "a=1 c=1"),
            (600, "a=1 b=2 c=1", "a=1 b=2 c=1"),
        ],
    );
}

#[test]
fn what_is_as_it_was_waits_for_nothing() {
    check(
        "a=1",
        &[(0, "a=1", "a=1"), (10, "a=2", "a=1"), (310, "a=1", "a=1")],
    );
    check(
        "a=1",
        &[(0, "", "a=1"), (999, "a=1", "a=1"), (1500, "", "a=1")],
    );
}

#[test]
fn a_file_that_somebody_writes_to_does_not_count() {
    check(
        "a=1",
        &[
            (0, "aw=2", "a=1"),
            (300, "aw=2", "a=1"),
            (599, "a=2", "a=1"),
            (600, "a=2", "a=2"),
        ],
    );
}

#[test]
fn where_nobody_can_tell_it_takes_longer() {
    check(
        "",
        &[
            (0, "a?=1", ""),
            (300, "a?=1", ""),
            (1999, "a?=1", ""),
            (2000, "a?=1", "a=1"),
        ],
    );
}

#[test]
fn a_removal_counts_when_the_file_stays_away() {
    check(
        "a=1 b=1",
        &[
            (0, "b=1", "a=1 b=1"),
            (999, "b=1", "a=1 b=1"),
            (1000, "b=1", "b=1"),
        ],
    );
    // Nobody has to be told that what never counted is gone.
    check(
        "",
        &[
            (0, "a=1", ""),
            (10, "", ""),
            (300, "a=1", ""),
            (600, "a=1", "a=1"),
        ],
    );
}

#[test]
fn a_file_that_comes_back_leaves_no_gap() {
    check(
        "a=1",
        &[
            (0, "", "a=1"),
            (990, "aw=2", "a=1"),
            (1290, "aw=2", "a=1"),
            (1300, "a=3", "a=1"),
            (1600, "a=3", "a=3"),
        ],
    );
    check(
        "a=1",
        &[
            (0, "", "a=1"),
            (900, "a=2", "a=1"),
            (910, "", "a=1"),
            (1909, "", "a=1"),
            (1910, "", ""),
        ],
    );
}

#[test]
fn nothing_is_removed_while_the_folder_cannot_be_seen() {
    check(
        "a=1",
        &[
            (0, "", "a=1"),
            (900, "/", "a=1"),
            (5000, "/", "a=1"),
            (5100, "", "a=1"),
            (6099, "", "a=1"),
            (6100, "", ""),
        ],
    );
    check(
        "a=1",
        &[
            (0, "a=2 b=1", "a=1"),
            (100, "/", "a=1"),
            (5000, "a=2 b=1", "a=1"),
            (5300, "a=2 b=1", "a=2 b=1"),
        ],
    );
}

#[test]
fn an_answer_to_another_question_is_none() {
    let now = Instant::now();
    let mut settling = Settling::new(PATIENCE, files("a=1"));
    for name in ["a", "b"] {
        settling.answer(OsStr::new(name), Writer::Closed, now);
    }
    assert_eq!(settled(&settling), files("a=1"));
    assert!(!settling.take_change());
}

/// What happens to one of a few files.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write,
    Remove,
    Open,
    Close,
    /// The folder itself goes, or comes back.
    Hide,
}

#[derive(Clone, Copy, Debug, Default)]
struct Real {
    state: Option<u32>,
    changed_at: u64,
    /// When a look found it, or could not see.
    seen_at: u64,
    is_written: bool,
}

/// A folder, and what a watcher makes of it that looks at each event and whenever it asked to.
struct World {
    start: Instant,
    now: u64,
    files: [Real; 3],
    is_hidden: bool,
    versions: u32,
    settling: Settling<u32>,
    counted: BTreeMap<OsString, u32>,
}

impl World {
    fn new() -> Self {
        Self {
            start: Instant::now(),
            now: 0,
            files: Default::default(),
            is_hidden: false,
            versions: 0,
            settling: Settling::new(PATIENCE, BTreeMap::new()),
            counted: BTreeMap::new(),
        }
    }

    fn name(index: usize) -> OsString {
        index.to_string().into()
    }

    fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn step(&mut self, index: usize, step: Step) {
        self.versions += 1;
        let file = &mut self.files[index];
        match step {
            Step::Write => {
                file.state = Some(self.versions);
                file.changed_at = self.now;
            }
            Step::Remove => file.state = None,
            Step::Open => file.is_written = true,
            Step::Close => file.is_written = false,
            Step::Hide => self.is_hidden = !self.is_hidden,
        }
    }

    /// Time passes, with all looks that were asked for in it.
    fn pass(&mut self, milliseconds: u64) -> Result<(), TestCaseError> {
        let end = self.now + milliseconds;
        while let Some(next) = self.settling.next() {
            let next = next.saturating_duration_since(self.start).as_millis() as u64;
            if next > end {
                break;
            }
            prop_assert!(next > self.now, "a look at {next} asks for another at once");
            self.now = next;
            self.look()?;
        }
        self.now = end;
        Ok(())
    }

    fn look(&mut self) -> Result<(), TestCaseError> {
        let now = self.now();
        for file in &mut self.files {
            if self.is_hidden || file.state.is_some() {
                file.seen_at = self.now;
            }
        }
        if self.is_hidden {
            self.settling.lose_sight();
            return self.compare();
        }
        let seen = |(index, file): (usize, &Real)| Some((Self::name(index), file.state?));
        self.settling.observe(
            self.files.iter().enumerate().filter_map(seen).collect(),
            now,
        );
        self.settling.remove_gone(now);
        for (name, _) in self.settling.due(now) {
            let index: usize = name.to_str().unwrap().parse().unwrap();
            let writer = match self.files[index].is_written {
                true => Writer::Open,
                false => Writer::Closed,
            };
            self.settling.answer(&name, writer, now);
        }
        self.compare()
    }

    /// Each file counts as before, or as it is and has been for long enough.
    fn compare(&mut self) -> Result<(), TestCaseError> {
        let settled = self.settling.settled();
        let settled: BTreeMap<_, _> = settled
            .map(|(name, state)| (name.clone(), *state))
            .collect();
        prop_assert_eq!(self.settling.take_change(), settled != self.counted);
        for (index, file) in self.files.iter().enumerate() {
            let name = Self::name(index);
            let (before, after) = (self.counted.get(&name), settled.get(&name).copied());
            if before.copied() == after {
                continue;
            }
            prop_assert!(!self.is_hidden);
            prop_assert_eq!(after, file.state);
            let (since, patience) = match after {
                Some(_) => (file.changed_at, PATIENCE.settle),
                None => (file.seen_at, PATIENCE.removal),
            };
            let stood = Duration::from_millis(self.now - since);
            prop_assert!(stood >= patience, "{stood:?}");
            prop_assert!(after.is_none() || !file.is_written);
        }
        self.counted = settled;
        Ok(())
    }
}

fn step() -> impl Strategy<Value = (u64, usize, Step, bool)> {
    let step = prop_oneof![
        6 => Just(Step::Write),
        3 => Just(Step::Remove),
        2 => Just(Step::Open),
        3 => Just(Step::Close),
        1 => Just(Step::Hide),
    ];
    let gap = prop_oneof![0..20_u64, 0..400_u64, 900..1200_u64];
    // Some events are lost.
    (gap, 0..3_usize, step, prop::bool::weighted(0.8))
}

proptest! {
    #[test]
    fn the_last_state_counts_and_none_before_its_time(
        steps in prop::collection::vec(step(), 0..60),
    ) {
        let mut world = World::new();
        for (gap, index, step, is_announced) in steps {
            world.pass(gap)?;
            world.step(index, step);
            if is_announced {
                world.look()?;
            }
        }
        world.files.iter_mut().for_each(|file| file.is_written = false);
        world.is_hidden = false;
        world.look()?;
        world.pass(5000)?;
        prop_assert_eq!(world.settling.next(), None);
        let real = world.files.iter().enumerate();
        let real = real.filter_map(|(index, file)| Some((World::name(index), file.state?)));
        prop_assert_eq!(world.counted, real.collect());
    }
}
