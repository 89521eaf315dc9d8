//! A part of a memtable: the packed samples of some series, in blocks cut from slabs.
//!
//! ```text
//!   page (256 series) ─▶ series: tail of the packing, first block, last block
//!                                        │
//!   slabs   [32 bytes][64][128][256]… ◀──┘   a block: offset of the next one (u32), then samples
//! ```
//!
//! Growing never copies and frees nothing: blocks of a series get larger as it grows, and all slabs go when the table is
//! dropped. A series without samples costs nothing unless one of its 255 neighbours has some.

use codec::packed::{PADDING, SAMPLE_BYTES_MAX, Tail, first_time, unpack};
use series::{Columns, TimeRange};

/// Series of a page.
pub(super) const PAGE_SERIES: usize = 256;
/// Bytes of a slab: large enough that the allocator gives it back to the system when it is dropped.
const SLAB_BYTES: usize = 256 << 10;
/// Blocks begin at multiples of this, so that 32 bits address 128 GiB.
const UNIT_BYTES: usize = 32;
const UNITS_A_SLAB: usize = SLAB_BYTES / UNIT_BYTES;
/// Bytes of the first four blocks of a series; later ones are as large as the last of these.
const BLOCK_BYTES: [usize; 4] = [32, 64, 128, 256];
/// Bytes of a block that hold the offset of the next one.
const LINK_BYTES: usize = 4;

/// The series of a shard, by local number, and their bytes.
#[derive(Default)]
pub(super) struct Shard {
    pages: Vec<Option<Box<[Series]>>>,
    slabs: Vec<Box<[u8]>>,
    /// Units of the last slab that are taken.
    units_used: usize,
}

// A cache line each: adding a sample waits for as few lines as there can be.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(64))]
struct Series {
    tail: Tail,
    n_samples: u32,
    first_block: u32,
    last_block: u32,
    /// Bytes taken in the last block, link included.
    used: u16,
    /// Number of the last block, from 0; it stops counting where blocks stop growing.
    ordinal: u8,
    /// A sample came whose time is not above the one before.
    is_unsorted: bool,
}

/// Packed bytes of one series, copied out so that they can be unpacked without a lock.
pub(crate) struct Copied {
    bytes: Vec<u8>,
    len: usize,
    n_samples: usize,
    /// Time of the sample that came last.
    last_time: i64,
    /// Whether times rise strictly.
    pub(super) is_sorted: bool,
}

impl Shard {
    /// Adds a sample; answers how many bytes of memory it took.
    #[inline]
    pub(super) fn push(&mut self, local: usize, at: i64, value: f64) -> usize {
        let mut taken = 0;
        let (page, slot) = (local / PAGE_SERIES, local % PAGE_SERIES);
        if self.pages.get(page).is_none_or(Option::is_none) {
            taken += self.open_page(page);
        }
        let Some(Some(page)) = self.pages.get_mut(page) else { return taken };
        let series = &mut page[slot];
        if series.n_samples == 0 {
            taken += BLOCK_BYTES[0];
            series.first_block = take_block(&mut self.slabs, &mut self.units_used, BLOCK_BYTES[0]);
            series.last_block = series.first_block;
            series.used = LINK_BYTES as u16;
        } else {
            series.is_unsorted |= at <= series.tail.at();
        }
        series.n_samples += 1;
        let (start, used) = (offset_of(series.last_block), usize::from(series.used));
        let block_bytes = BLOCK_BYTES[usize::from(series.ordinal)];
        // Nearly always there is room for any sample: then it is packed in its place.
        if used + SAMPLE_BYTES_MAX <= block_bytes
            && let Some(slab) = self.slabs.get_mut(slab_of(series.last_block))
            && let Some(place) = slab.get_mut(start + used..).and_then(<[u8]>::first_chunk_mut)
        {
            series.used += series.tail.pack(at, value, place) as u16;
            return taken;
        }
        let mut packed = [0; SAMPLE_BYTES_MAX];
        let len = series.tail.pack(at, value, &mut packed);
        taken + append(series, &packed[..len], &mut self.slabs, &mut self.units_used)
    }

    #[cold]
    fn open_page(&mut self, page: usize) -> usize {
        if self.pages.len() <= page {
            self.pages.resize_with(page + 1, || None);
        }
        self.pages[page] = Some(vec![Series::default(); PAGE_SERIES].into_boxed_slice());
        PAGE_SERIES * size_of::<Series>()
    }

    /// The bytes of a series; `None` when it has no sample.
    pub(super) fn copy(&self, local: usize) -> Option<Copied> {
        let series = &self.pages.get(local / PAGE_SERIES)?.as_ref()?[local % PAGE_SERIES];
        if series.n_samples == 0 {
            return None;
        }
        let mut bytes = Vec::with_capacity(series.n_samples as usize * 4 + PADDING);
        let (mut block, mut ordinal) = (series.first_block, 0);
        loop {
            let start = offset_of(block);
            let slab = &self.slabs[slab_of(block)];
            if block == series.last_block {
                bytes.extend_from_slice(&slab[start + LINK_BYTES..start + usize::from(series.used)]);
                break;
            }
            bytes.extend_from_slice(&slab[start + LINK_BYTES..start + BLOCK_BYTES[ordinal]]);
            let mut link = [0; LINK_BYTES];
            link.copy_from_slice(&slab[start..start + LINK_BYTES]);
            block = u32::from_le_bytes(link);
            ordinal = (ordinal + 1).min(BLOCK_BYTES.len() - 1);
        }
        let len = bytes.len();
        bytes.resize(len + PADDING, 0);
        let (n_samples, last_time) = (series.n_samples as usize, series.tail.at());
        Some(Copied { bytes, len, n_samples, last_time, is_sorted: !series.is_unsorted })
    }

    /// Local numbers of the series with samples, rising.
    pub(super) fn locals(&self) -> impl Iterator<Item = usize> + '_ {
        let pages = self.pages.iter().enumerate().filter_map(|(i, page)| Some((i, page.as_ref()?)));
        pages.flat_map(|(i, page)| {
            let with_samples = page.iter().enumerate().filter(|(_, series)| series.n_samples > 0);
            with_samples.map(move |(slot, _)| i * PAGE_SERIES + slot)
        })
    }
}

impl Copied {
    /// The samples in arrival order.
    pub(super) fn columns(&self) -> Columns {
        let mut out = Columns::default();
        self.append_to(&mut out);
        out
    }

    /// Time of the sample that came first.
    pub(super) fn first_time(&self) -> Option<i64> {
        first_time(&self.bytes, self.len)
    }

    /// Whether the span of its samples, where it is known without unpacking them, has a part in `range`.
    pub(super) fn may_touch(&self, range: TimeRange) -> bool {
        let span = self.first_time().filter(|_| self.is_sorted);
        span.is_none_or(|first| first < range.end.0 && range.start.0 <= self.last_time)
    }

    /// Appends the samples in arrival order.
    pub(super) fn append_to(&self, out: &mut Columns) {
        out.timestamps.reserve(self.n_samples);
        out.values.reserve(self.n_samples);
        unpack(&self.bytes, self.len, &mut out.timestamps, &mut out.values);
    }

    /// The bytes of the samples alone.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }
}

/// Appends bytes to a series' last block and to new ones; answers how many bytes of memory those take.
fn append(series: &mut Series, mut rest: &[u8], slabs: &mut Vec<Box<[u8]>>, units_used: &mut usize) -> usize {
    let mut taken = 0;
    loop {
        let (start, used) = (offset_of(series.last_block), usize::from(series.used));
        let n = rest.len().min(BLOCK_BYTES[usize::from(series.ordinal)] - used);
        let slab = &mut slabs[slab_of(series.last_block)];
        slab[start + used..start + used + n].copy_from_slice(&rest[..n]);
        series.used += n as u16;
        rest = &rest[n..];
        if rest.is_empty() {
            return taken;
        }
        let larger = (usize::from(series.ordinal) + 1).min(BLOCK_BYTES.len() - 1);
        let next = take_block(slabs, units_used, BLOCK_BYTES[larger]);
        slabs[slab_of(series.last_block)][start..start + LINK_BYTES].copy_from_slice(&next.to_le_bytes());
        (series.last_block, series.ordinal, series.used) = (next, larger as u8, LINK_BYTES as u16);
        taken += BLOCK_BYTES[larger];
    }
}

/// A new block of zeros; its number counts units over all slabs.
#[inline]
fn take_block(slabs: &mut Vec<Box<[u8]>>, units_used: &mut usize, bytes: usize) -> u32 {
    let units = bytes / UNIT_BYTES;
    if slabs.is_empty() || *units_used + units > UNITS_A_SLAB {
        slabs.push(vec![0; SLAB_BYTES].into_boxed_slice());
        *units_used = 0;
    }
    let block = (slabs.len() - 1) * UNITS_A_SLAB + *units_used;
    *units_used += units;
    block as u32
}

#[inline]
fn slab_of(block: u32) -> usize {
    block as usize / UNITS_A_SLAB
}

#[inline]
fn offset_of(block: u32) -> usize {
    block as usize % UNITS_A_SLAB * UNIT_BYTES
}
