//! Writes buckets into pages. The places of all pages are computed first, from lengths alone. Then the pages are
//! made one by one, so that the content is never in memory twice.

use std::ops::Range;

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{
    BRANCH, BUCKET_BYTES, ELEMENT_BYTES, FREELIST, IS_BUCKET, LEAF, MAGIC, META, META_BYTES, PAGE_BYTES,
    PAGE_HEADER_BYTES, Pairs, VERSION, meta_checksum,
};

/// The pages before those of the trees: two metas and the list of free pages.
const FIRST: u64 = 3;

/// A file as an iterator over its pages.
pub(in crate::snapshot) struct Writer {
    buckets: Vec<(Bytes, Pairs)>,
    pages: std::vec::IntoIter<Page>,
    /// The next page to be given out.
    next: u64,
    /// How many pages there are.
    end: u64,
    root: u64,
}

struct Page {
    /// How many pages this one takes up.
    pages: u64,
    content: Content,
}

enum Content {
    Meta,
    Freelist,
    /// Some pairs of a bucket.
    Leaf(usize, Range<usize>),
    /// Pages of the tree below, each with its first key.
    Branch(Vec<(Bytes, u64)>),
    /// The buckets' root pages.
    Buckets(Vec<u64>),
}

impl Writer {
    /// A file of these buckets, which are sorted by name.
    pub fn new(buckets: Vec<(Bytes, Pairs)>) -> Self {
        let mut plan = Plan { pages: Vec::new(), end: 0 };
        plan.push(PAGE_BYTES, Content::Meta);
        plan.push(PAGE_BYTES, Content::Meta);
        plan.push(PAGE_BYTES, Content::Freelist);
        debug_assert_eq!(plan.end, FIRST);
        let roots = buckets.iter().enumerate().map(|(at, (_, pairs))| plan.tree(at, pairs)).collect();
        let names: usize = buckets.iter().map(|(name, _)| ELEMENT_BYTES + name.len() + BUCKET_BYTES).sum();
        let root = plan.push(PAGE_HEADER_BYTES + names, Content::Buckets(roots));
        Self { buckets, end: plan.end, pages: plan.pages.into_iter(), next: 0, root }
    }

    /// The file's size, in bytes.
    pub fn total_bytes(&self) -> u64 {
        self.end * PAGE_BYTES as u64
    }

    fn meta(&self, id: u64) -> Bytes {
        let mut meta = BytesMut::with_capacity(META_BYTES);
        meta.put_u32_le(MAGIC);
        meta.put_u32_le(VERSION);
        meta.put_u32_le(PAGE_BYTES as u32);
        meta.put_u32_le(0);
        meta.put_u64_le(self.root);
        meta.put_u64_le(0);
        meta.put_u64_le(FIRST - 1);
        meta.put_u64_le(self.end);
        // The transaction's id. The meta with the higher id counts.
        meta.put_u64_le(id);
        let checksum = meta_checksum(&[&meta[..], &[0; 8]].concat());
        meta.put_u64_le(checksum);
        meta.freeze()
    }

    fn page(&self, id: u64, page: &Page) -> Bytes {
        let bytes = page.pages as usize * PAGE_BYTES;
        let (flags, count) = match &page.content {
            Content::Meta => (META, 0),
            Content::Freelist => (FREELIST, 0),
            Content::Leaf(_, pairs) => (LEAF, pairs.len()),
            Content::Branch(children) => (BRANCH, children.len()),
            Content::Buckets(roots) => (LEAF, roots.len()),
        };
        let mut buffer = BytesMut::with_capacity(bytes);
        buffer.put_u64_le(id);
        buffer.put_u16_le(flags);
        buffer.put_u16_le(u16::try_from(count).expect("an element has 16 bytes, and a page 4096"));
        buffer.put_u32_le(u32::try_from(page.pages - 1).expect("no row has 16 TiB"));
        match &page.content {
            Content::Meta => buffer.put(self.meta(id)),
            Content::Freelist => {}
            Content::Leaf(bucket, pairs) => {
                let pairs = &self.buckets[*bucket].1[pairs.clone()];
                leaf(&mut buffer, pairs.iter().map(|(key, value)| (0, &key[..], &value[..])));
            }
            Content::Branch(children) => branch(&mut buffer, children),
            Content::Buckets(roots) => {
                // A bucket's root, and its sequence, which is 0.
                let values: Vec<[u8; BUCKET_BYTES]> =
                    roots.iter().map(|root| (u128::from(*root)).to_le_bytes()).collect();
                let names = self.buckets.iter().zip(&values);
                leaf(&mut buffer, names.map(|((name, _), value)| (IS_BUCKET, &name[..], &value[..])));
            }
        }
        debug_assert!(buffer.len() <= bytes);
        buffer.resize(bytes, 0);
        buffer.freeze()
    }
}

impl Iterator for Writer {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        let page = self.pages.next()?;
        let bytes = self.page(self.next, &page);
        self.next += page.pages;
        Some(bytes)
    }
}

struct Plan {
    pages: Vec<Page>,
    end: u64,
}

impl Plan {
    /// Adds a page and returns its number.
    fn push(&mut self, bytes: usize, content: Content) -> u64 {
        let pages = bytes.div_ceil(PAGE_BYTES) as u64;
        self.pages.push(Page { pages, content });
        self.end += pages;
        self.end - pages
    }

    /// Adds a bucket's tree and returns the number of its root page.
    fn tree(&mut self, bucket: usize, pairs: &Pairs) -> u64 {
        let bytes = |at: usize| ELEMENT_BYTES + pairs[at].0.len() + pairs[at].1.len();
        let mut level: Vec<(Bytes, u64)> = filled(pairs.len(), 1, bytes)
            .map(|(range, bytes)| {
                (pairs[range.start].0.clone(), self.push(bytes, Content::Leaf(bucket, range)))
            })
            .collect();
        if level.is_empty() {
            return self.push(PAGE_BYTES, Content::Leaf(bucket, 0..0));
        }
        while level.len() > 1 {
            let bytes = |at: usize| ELEMENT_BYTES + level[at].0.len();
            level = filled(level.len(), 2, bytes)
                .map(|(range, bytes)| {
                    let children = level[range].to_vec();
                    (children[0].0.clone(), self.push(bytes, Content::Branch(children)))
                })
                .collect();
        }
        level[0].1
    }
}

/// Distributes elements over pages: as many as fit, but at least `least`. That is two in a branch, so that each
/// level has fewer pages than the one below. Returns each page's elements and its size in bytes.
fn filled(
    count: usize,
    least: usize,
    bytes: impl Fn(usize) -> usize,
) -> impl Iterator<Item = (Range<usize>, usize)> {
    let mut begin = 0;
    std::iter::from_fn(move || {
        let (mut end, mut used) = (begin, PAGE_HEADER_BYTES);
        while end < count && (end < begin + least || used + bytes(end) <= PAGE_BYTES) {
            used += bytes(end);
            end += 1;
        }
        let range = begin..end;
        begin = end;
        (!range.is_empty()).then_some((range, used))
    })
}

/// The distance from an element, which is number `at` of `count`, to its key. The keys and values before it take
/// `behind` bytes.
fn place(at: usize, count: usize, behind: usize) -> u32 {
    u32::try_from((count - at) * ELEMENT_BYTES + behind).expect("a page holds one large row at most")
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("no row has 4 GiB: a request has a limit")
}

fn leaf<'a>(
    buffer: &mut BytesMut,
    elements: impl ExactSizeIterator<Item = (u32, &'a [u8], &'a [u8])> + Clone,
) {
    let (count, mut behind) = (elements.len(), 0);
    for (at, (flags, key, value)) in elements.clone().enumerate() {
        buffer.put_u32_le(flags);
        buffer.put_u32_le(place(at, count, behind));
        buffer.put_u32_le(length(key));
        buffer.put_u32_le(length(value));
        behind += key.len() + value.len();
    }
    for (_, key, value) in elements {
        buffer.put_slice(key);
        buffer.put_slice(value);
    }
}

fn branch(buffer: &mut BytesMut, children: &[(Bytes, u64)]) {
    let mut behind = 0;
    for (at, (key, page)) in children.iter().enumerate() {
        buffer.put_u32_le(place(at, children.len(), behind));
        buffer.put_u32_le(length(key));
        buffer.put_u64_le(*page);
        behind += key.len();
    }
    children.iter().for_each(|(key, _)| buffer.put_slice(key));
}
