//! Reads pages into buckets.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::{
    BRANCH, BUCKET_BYTES, ELEMENT_BYTES, IS_BUCKET, LEAF, MAGIC, META, META_BYTES, PAGE_HEADER_BYTES, Pairs,
    VERSION, meta_checksum,
};

/// An error: its place in the file in bytes, and what is wrong there.
pub(in crate::snapshot) type Wrong = (u64, String);

/// All buckets of a file, by name, and how many bytes of the file are in use.
///
/// # Errors
/// The first place at which the file is not as bbolt writes it.
pub(in crate::snapshot) fn read(file: &Bytes) -> Result<(BTreeMap<Bytes, Pairs>, u64), Wrong> {
    let meta = meta(file)?;
    let mut reader = Reader { file, page_bytes: meta.page_bytes, end: meta.end, seen: BTreeSet::new() };
    let mut buckets = BTreeMap::new();
    for (flags, name, value) in reader.tree(meta.root)? {
        if flags & IS_BUCKET == 0 {
            return Err((0, format!("\"{}\" is no bucket", name.escape_ascii())));
        }
        let root = u64_at(&value, 0).filter(|_| value.len() >= BUCKET_BYTES);
        let content = match root.ok_or((0, format!("the bucket \"{}\" is cut short", name.escape_ascii())))? {
            // A small bucket lies within its value.
            0 => reader.leaf(value.slice(BUCKET_BYTES..), 0)?,
            root => reader.tree(root)?,
        };
        let mut pairs = Pairs::with_capacity(content.len());
        for (flags, key, value) in content {
            // etcd has no nested buckets, and our rows cannot represent them.
            if flags & IS_BUCKET != 0 {
                return Err((0, format!("a bucket within the bucket \"{}\"", name.escape_ascii())));
            }
            pairs.push((key, value));
        }
        buckets.insert(name, pairs);
    }
    Ok((buckets, meta.end.saturating_mul(meta.page_bytes as u64)))
}

struct Meta {
    page_bytes: usize,
    root: u64,
    /// The number of the first page past the end.
    end: u64,
    transaction: u64,
}

/// The newer valid one of the two metas. The second meta's place depends on the page size. The first meta says it;
/// if the first is damaged, page sizes are tried, as bbolt does.
fn meta(file: &Bytes) -> Result<Meta, Wrong> {
    let second = |page_bytes: usize| meta_at(file, page_bytes).filter(|meta| meta.page_bytes == page_bytes);
    let first = meta_at(file, 0);
    let second = match &first {
        Some(first) => second(first.page_bytes),
        None => (9..17).map(|power| 1 << power).find_map(second),
    };
    [first, second].into_iter().flatten().max_by_key(|meta| meta.transaction).ok_or_else(|| {
        (0, "it does not begin as a snapshot does: neither of its first two pages is sound".into())
    })
}

fn meta_at(file: &[u8], at: usize) -> Option<Meta> {
    let page = file.get(at..at.checked_add(PAGE_HEADER_BYTES + META_BYTES)?)?;
    let meta = &page[PAGE_HEADER_BYTES..];
    let sound = u16_at(page, 8)? & META != 0
        && u32_at(meta, 0)? == MAGIC
        && u32_at(meta, 4)? == VERSION
        && u64_at(meta, META_BYTES - 8)? == meta_checksum(meta);
    let page_bytes = u32_at(meta, 8)? as usize;
    (sound && page_bytes.is_power_of_two() && page_bytes >= 512).then_some(Meta {
        page_bytes,
        root: u64_at(meta, 16)?,
        end: u64_at(meta, 40)?,
        transaction: u64_at(meta, 48)?,
    })
}

struct Reader<'a> {
    file: &'a Bytes,
    page_bytes: usize,
    end: u64,
    seen: BTreeSet<u64>,
}

/// Flags, key, value.
type Element = (u32, Bytes, Bytes);

impl Reader<'_> {
    /// A tree's elements, in order.
    fn tree(&mut self, root: u64) -> Result<Vec<Element>, Wrong> {
        let mut elements: Vec<Element> = Vec::new();
        // Pages still to be read, the next one last.
        let mut pages = vec![root];
        while let Some(id) = pages.pop() {
            let at = self.offset(id);
            let page = self.page(id)?;
            match u16_at(&page, 8).unwrap_or_default() & (LEAF | BRANCH) {
                LEAF => {
                    for element in self.leaf(page, at)? {
                        if elements.last().is_some_and(|(_, last, _)| *last >= element.1) {
                            return Err((at, "a key out of order, or there twice".into()));
                        }
                        elements.push(element);
                    }
                }
                BRANCH => {
                    let count = u16_at(&page, 10).unwrap_or_default();
                    for child in (0..usize::from(count)).rev() {
                        let child = u64_at(&page, PAGE_HEADER_BYTES + child * ELEMENT_BYTES + 8);
                        pages.push(child.ok_or((at, "a branch beyond the end of its page".to_owned()))?);
                    }
                }
                _ => return Err((at, format!("page {id} is neither a leaf nor a branch"))),
            }
        }
        Ok(elements)
    }

    fn offset(&self, id: u64) -> u64 {
        id.saturating_mul(self.page_bytes as u64)
    }

    /// A page, with the pages that it extends over.
    fn page(&mut self, id: u64) -> Result<Bytes, Wrong> {
        let at = self.offset(id);
        if id < 2 || id >= self.end {
            return Err((at, format!("page {id} of {}", self.end)));
        }
        let cut = || (at, format!("the file ends before the end of page {id}"));
        let begin = usize::try_from(at).map_err(|_| cut())?;
        let header =
            begin.checked_add(PAGE_HEADER_BYTES).and_then(|end| self.file.get(begin..end)).ok_or_else(cut)?;
        let pages = u32_at(header, 12).ok_or_else(cut)? as usize + 1;
        let end = pages.checked_mul(self.page_bytes).and_then(|bytes| begin.checked_add(bytes));
        let end = end.filter(|end| *end <= self.file.len()).ok_or_else(cut)?;
        for page in id..id + pages as u64 {
            if !self.seen.insert(page) {
                return Err((at, format!("page {page} is there twice")));
            }
        }
        Ok(self.file.slice(begin..end))
    }

    /// The elements of a leaf that begins at `at` in the file.
    fn leaf(&self, page: Bytes, at: u64) -> Result<Vec<Element>, Wrong> {
        let wrong = || (at, "a leaf's element beyond the end of its page".to_owned());
        let count = u16_at(&page, 10).ok_or_else(wrong)?;
        let mut elements = Vec::new();
        for element in 0..usize::from(count) {
            let begin = PAGE_HEADER_BYTES + element * ELEMENT_BYTES;
            let number = |at: usize| u32_at(&page, begin + at).ok_or_else(wrong);
            let (flags, place, key, value) =
                (number(0)?, number(4)? as usize, number(8)? as usize, number(12)? as usize);
            let key_end = begin + place + key;
            if key_end + value > page.len() {
                return Err(wrong());
            }
            elements.push((flags, page.slice(begin + place..key_end), page.slice(key_end..key_end + value)));
        }
        Ok(elements)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}
