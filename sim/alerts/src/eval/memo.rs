//! What one evaluation of a rule need not find out again, since the one before has: which series a selector names, and
//! which elements fall into one group or one histogram.
//!
//! A rule is evaluated thousands of times over the same series, and all of this follows from labels alone. It is found again
//! when the store has a new series, or when the elements are others than last time; nothing of it depends on a sample. A memo
//! serves one expression, whose parts it knows by their places in its text, and one store.

use std::{cell::RefCell, collections::BTreeMap, sync::Arc};

use super::{Element, histogram};
use crate::{
    labels::{Labels, have_one_name},
    query::{Grouping, Matcher, Span},
    store::{Series, Store},
};

/// What is known of the parts of one expression.
#[derive(Debug, Default)]
pub struct Memo {
    selections: Known<Selection>,
    groupings: Known<Grouped>,
    histograms: Known<histogram::Layout>,
}

type Known<T> = RefCell<BTreeMap<Span, Arc<T>>>;

/// A copy serves another expression and store, and knows nothing yet.
impl Clone for Memo {
    fn clone(&self) -> Self {
        Self::default()
    }
}

/// The series that a selector names.
#[derive(Debug)]
pub struct Selection {
    /// How many series the store had.
    of: usize,
    places: Vec<usize>,
    /// Their labels.
    pub labels: Vec<Labels>,
    /// Their labels without the metrics' names.
    pub nameless: Vec<Labels>,
    /// Whether all have the same name, so that they stay apart without it.
    pub one_name: bool,
}

impl Selection {
    /// The series of these conditions.
    pub fn find(store: &Store, matchers: &[Matcher]) -> Self {
        let (places, labels): (Vec<usize>, Vec<Labels>) =
            store.select(matchers).map(|(at, series)| (at, series.labels.clone())).unzip();
        let one_name = have_one_name(&labels);
        let nameless = labels.iter().map(Labels::without_name).collect();
        Self { of: store.all().len(), places, labels, nameless, one_name }
    }

    /// The series, in the order of the labels.
    pub fn series<'a>(&'a self, store: &'a Store) -> impl Iterator<Item = &'a Series> {
        self.places.iter().map(|at| &store.all()[*at])
    }
}

/// Which elements form a group.
#[derive(Debug)]
pub struct Grouped {
    elements: Vec<Labels>,
    /// The group of each element. Groups are numbered in the order in which their first elements come.
    pub group_of: Vec<usize>,
    /// The labels of each group.
    pub groups: Vec<Labels>,
}

impl Grouped {
    /// The groups of these elements.
    pub fn find(grouping: &Grouping, elements: &[Element]) -> Self {
        let mut known: BTreeMap<Labels, usize> = BTreeMap::new();
        let (mut group_of, mut groups) = (Vec::with_capacity(elements.len()), Vec::new());
        for Element { labels, .. } in elements {
            let labels = match () {
                () if grouping.without => labels.without(&grouping.labels),
                () if grouping.labels.is_empty() => Labels::default(),
                () => labels.only(&grouping.labels),
            };
            let group = *known.entry(labels).or_insert_with_key(|labels| {
                groups.push(labels.clone());
                groups.len() - 1
            });
            group_of.push(group);
        }
        Self { elements: labels_of(elements), group_of, groups }
    }
}

/// The part of a memo that concerns one node of the expression; `None` where nothing is remembered.
pub type Place<'a> = Option<(&'a Memo, Span)>;

/// The series of a selector.
pub fn selection(place: Place<'_>, store: &Store, matchers: &[Matcher]) -> Arc<Selection> {
    let find = || Selection::find(store, matchers);
    recall(place, |memo| &memo.selections, |known| known.of == store.all().len(), find)
}

/// The groups of elements.
pub fn grouped(place: Place<'_>, grouping: &Grouping, elements: &[Element]) -> Arc<Grouped> {
    let find = || Grouped::find(grouping, elements);
    recall(place, |memo| &memo.groupings, |known| are_of(elements, &known.elements), find)
}

/// The histograms of elements.
pub fn histograms(place: Place<'_>, elements: &[Element]) -> Arc<histogram::Layout> {
    let find = || histogram::Layout::find(elements);
    recall(place, |memo| &memo.histograms, |known| are_of(elements, &known.elements), find)
}

fn recall<T>(
    place: Place<'_>,
    part: impl Fn(&Memo) -> &Known<T>,
    fits: impl Fn(&T) -> bool,
    find: impl FnOnce() -> T,
) -> Arc<T> {
    let Some((memo, span)) = place else { return Arc::new(find()) };
    let mut known = part(memo).borrow_mut();
    match known.get(&span) {
        Some(known) if fits(known) => Arc::clone(known),
        _ => {
            let found = Arc::new(find());
            known.insert(span, Arc::clone(&found));
            found
        }
    }
}

/// The labels of elements.
pub fn labels_of(elements: &[Element]) -> Vec<Labels> {
    elements.iter().map(|element| element.labels.clone()).collect()
}

fn are_of(elements: &[Element], labels: &[Labels]) -> bool {
    elements.len() == labels.len()
        && elements.iter().zip(labels).all(|(element, labels)| element.labels == *labels)
}
