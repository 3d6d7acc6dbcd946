//! What a kind of fault uses to draw settings for an explored run ([`super::Room::draw`]).
//!
//! Values are round, as a person would write them, because people read an explored scenario that has found something.

use std::time::Duration;

use crate::world::Stream;

/// The random stream of one drawn fault, and the names that its settings may refer to.
pub(crate) struct Drawing<'a> {
    chance: Stream,
    /// The members' names.
    pub(crate) members: &'a [String],
    /// The names of the snapshot saves that certainly strike before this fault.
    pub(crate) saves: &'a [String],
}

impl<'a> Drawing<'a> {
    pub(crate) fn new(chance: Stream, members: &'a [String], saves: &'a [String]) -> Self {
        Self { chance, members, saves }
    }

    /// One of the items, of which there must be at least one.
    pub(crate) fn one_of<T: Clone>(&mut self, items: &[T]) -> T {
        self.chance.pick(items).expect("there is something to pick from").clone()
    }

    /// True once in `count` draws.
    pub(crate) fn one_in(&mut self, count: u64) -> bool {
        self.number(1, count) == 1
    }

    /// A number from `least` to `most`, both included.
    pub(crate) fn number(&mut self, least: u64, most: u64) -> u64 {
        self.chance.within(least..most + 1)
    }

    /// A duration from `least` to `most`. All orders of magnitude are equally likely. Two digits are drawn, so it is
    /// round: `35ms`, `1.2s`.
    pub(crate) fn time(&mut self, least: Duration, most: Duration) -> Duration {
        let (least, most) = (micros(least).max(1), micros(most).max(1));
        let doublings = u64::from((most / least).max(1).ilog2());
        let low = least << self.number(0, doublings);
        let drawn = self.number(low, (low * 2).min(most).max(low));
        let unit = 10u64.pow(drawn.ilog10().saturating_sub(1));
        Duration::from_micros((drawn / unit * unit).clamp(least, most))
    }

    /// An instant from `least` to `most`, in tenths of a second, all equally likely.
    pub(crate) fn instant(&mut self, least: Duration, most: Duration) -> Duration {
        let tenths = |time: Duration| time.as_millis() as u64 / 100;
        let most = tenths(most).max(tenths(least));
        Duration::from_millis(self.number(tenths(least), most) * 100)
    }

    /// A few members by name: at least one, and not all if there are several.
    pub(crate) fn some_members(&mut self) -> Vec<String> {
        let mut names = self.members.to_vec();
        self.chance.shuffle(&mut names);
        let most = (names.len() as u64).saturating_sub(1).max(1);
        names.truncate(self.number(1, most) as usize);
        names.sort();
        names
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).expect("a duration of less than 584,000 years")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::Chance;

    #[test]
    fn drawn_values_stay_within_their_bounds_and_are_round() {
        let members: Vec<String> = (1..=3).map(|n| format!("m{n}")).collect();
        let mut drawing = Drawing::new(Chance::root(1).stream(), &members, &[]);
        let (least, most) = (Duration::from_millis(2), Duration::from_secs(3));
        let (mut short, mut long) = (0, 0);
        for _ in 0..500 {
            let time = drawing.time(least, most);
            assert!((least..=most).contains(&time), "{time:?}");
            let text = time.as_micros().to_string();
            assert!(text.trim_end_matches('0').len() <= 2, "{time:?} is not round");
            short += u32::from(time < Duration::from_millis(20));
            long += u32::from(time > Duration::from_millis(300));
            assert!((3..=5).contains(&drawing.number(3, 5)));
            let some = drawing.some_members();
            assert!((1..=2).contains(&some.len()) && some.is_sorted());
        }
        assert!(short > 50 && long > 50, "every magnitude is drawn: {short} short, {long} long");
        assert_eq!(drawing.time(most, most), most);
    }
}
