//! Social graphs of the sizes of mgbench's `pokec`: power laws on both sides, half of the friends nearby. The same each
//! time.

use mg_tests::dice::Dice;

/// People and friendships of the small graph.
pub(crate) const PEOPLE: i64 = 10_000;
pub(crate) const FRIENDSHIPS: usize = 121_716;
/// Those of the medium one.
pub(crate) const PEOPLE_MEDIUM: i64 = 100_000;
pub(crate) const FRIENDSHIPS_MEDIUM: usize = 1_768_515;

/// A person: age and how complete the profile is; ids rise from 1.
pub(crate) struct Person {
    pub(crate) id: i64,
    pub(crate) age: i64,
    pub(crate) completion: i64,
    pub(crate) gender: &'static str,
}

/// Everything that is loaded.
pub(crate) struct Graph {
    pub(crate) people: Vec<Person>,
    pub(crate) friendships: Vec<(i64, i64)>,
}

/// From 1 to `last`.
pub(crate) fn upto(dice: &mut Dice, last: i64) -> i64 {
    i64::try_from(dice.below(last.unsigned_abs())).expect("below an i64") + 1
}

impl Graph {
    pub(crate) fn made(people: i64, count: usize) -> Graph {
        let mut dice = Dice::new(Some(42));
        // Two dice make a hill around 24 years.
        let everyone: Vec<Person> = (1..=people)
            .map(|id| Person {
                id,
                age: (upto(&mut dice, 24) + upto(&mut dice, 24)).max(1),
                completion: upto(&mut dice, 101) - 1,
                gender: if dice.roll().is_multiple_of(2) { "man" } else { "woman" },
            })
            .collect();
        let mut known = std::collections::HashSet::new();
        let mut friendships: Vec<(i64, i64)> = Vec::new();
        // Who has many friends makes more: that gives the power law.
        let mut sources: Vec<i64> = (1..=people).collect();
        while friendships.len() < count {
            let from = sources[usize::try_from(dice.below(sources.len() as u64)).expect("an index")];
            let to = match dice.below(10) {
                0..=4 if !friendships.is_empty() => {
                    friendships[usize::try_from(dice.below(friendships.len() as u64)).expect("an index")].1
                }
                0..=8 => (from + upto(&mut dice, 100) - 50).clamp(1, people),
                _ => upto(&mut dice, people),
            };
            if from != to && known.insert((from, to)) {
                friendships.push((from, to));
                if sources.len() < 4 * everyone.len() {
                    sources.push(from);
                }
            }
        }
        Graph { people: everyone, friendships }
    }

    /// How many vertices and edges there are.
    pub(crate) fn elements(&self) -> usize {
        self.people.len() + self.friendships.len()
    }
}
