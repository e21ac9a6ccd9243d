//! Plugins' files that are wrong in some of their numbers, as `tests/fuzz` makes them without end:
//! judged, never a panic.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bulkhead::loader::static_check;
use bulkhead_tests::fixtures::{bytes, fixture};
use bulkhead_tests::mutations::{Random, mutate};

/// How many files are tried, at most.
const FILES: usize = 5_000;
/// How long they may take together: it is a smoke test.
const WITHIN: Duration = Duration::from_secs(2);

#[test]
fn ld_15_no_mutation_of_a_plugins_structure_panics() {
    let mut file = bytes(&fixture("fixture-tiny"));
    assert!(static_check(&file).is_ok());
    let mut random = Random::new(15);
    let mut verdicts = BTreeMap::<_, usize>::new();
    let (start, mut longest, mut tried) = (Instant::now(), Duration::ZERO, 0);
    while tried < FILES && start.elapsed() < WITHIN {
        let changes: Vec<_> = (0..=random.below(3))
            .filter_map(|_| mutate(&mut file, &mut random))
            .collect();
        let began = Instant::now();
        let verdict = static_check(&file);
        longest = longest.max(began.elapsed());
        let verdict = verdict.map_or_else(|rejection| rejection.reason(), |_| "ok");
        *verdicts.entry(verdict).or_default() += 1;
        // The last first: they may have hit the same place.
        for change in changes.into_iter().rev() {
            change.undo(&mut file);
        }
        tried += 1;
    }
    eprintln!("{tried} files, the longest took {longest:?}: {verdicts:?}");
    assert!(static_check(&file).is_ok(), "what was changed was undone");
    assert!(
        verdicts.len() > 4,
        "too few kinds of verdicts: {verdicts:?}"
    );
}
