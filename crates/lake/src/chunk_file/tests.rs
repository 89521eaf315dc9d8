//! Files come back bit for bit, and any damage is found.

use std::sync::Arc;

use bytes::Bytes;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload};
use proptest::prelude::*;

use super::*;
use crate::blocking::wait;
use crate::{ChunkRow, FileEntry, LakeError, Table, TableKind};

/// `n_series` series of two metrics with `chunks` chunks of 120 samples each.
pub(crate) fn rows(n_series: u64, chunks: i64) -> Vec<ChunkRow> {
    let mut rows = Vec::new();
    for (metric, offset) in [("cpu_seconds_total", 0), ("memory_bytes", 1)] {
        let metric: Arc<str> = Arc::from(metric);
        let mut ids: Vec<u64> =
            (0..n_series / 2).map(|i| (i * 2 + offset + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        ids.sort_unstable();
        for id in ids {
            for chunk in 0..chunks {
                let start = 1_795_244_846_123 + chunk * 120 * 15_000;
                let timestamps: Vec<i64> = (0..120).map(|i| start + i * 15_000).collect();
                let values: Vec<f64> =
                    (0..120).map(|i| ((id % 1000) as i64 * 100 + chunk * 7 + i * i % 977) as f64 / 100.0).collect();
                rows.push(ChunkRow::encode(Arc::clone(&metric), id, &timestamps, &values));
            }
        }
    }
    rows
}

fn put(rows: &[ChunkRow]) -> (Arc<dyn ObjectStore>, FileEntry) {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let table = Table::open_or_create(Arc::clone(&store), "t/chunks", TableKind::Chunks).expect("created");
    let file = encode_chunk_file(rows).expect("encodes");
    let entry = table.put_file(Some("2026-11-21"), 0, file.min_ts, 1, file, 1, 9).expect("written");
    (store, entry)
}

fn overwrite(store: &Arc<dyn ObjectStore>, entry: &FileEntry, bytes: Vec<u8>) {
    wait(store.put(&Path::from(entry.key()), PutPayload::from(bytes))).expect("written");
}

fn content(store: &Arc<dyn ObjectStore>, entry: &FileEntry) -> Bytes {
    wait(async { store.get(&Path::from(entry.key())).await?.bytes().await }).expect("is there")
}

fn same(chunk: &ChunkBytes, row: &ChunkRow) -> bool {
    chunk.ts == row.ts_chunk && chunk.values == row.value_chunk
}

#[test]
fn rows_of_several_groups_come_back() {
    let rows = rows(5300, 4);
    assert!(rows.len() > 20_480, "more than one row group");
    let (store, entry) = put(&rows);
    assert_eq!((entry.rows, entry.samples), (rows.len() as u64, rows.len() as u64 * 120));
    assert_eq!((entry.metric_min.as_str(), entry.metric_max.as_str()), ("cpu_seconds_total", "memory_bytes"));
    let file = ChunkFile::open(store, &entry).expect("opens");
    let keys = file.keys().expect("keys");
    assert_eq!(keys.len(), rows.len());
    for at in [0, 63, 64, 20_479, 20_480, rows.len() - 1] {
        let row = &rows[at];
        let found = keys.rows_of(row.series_id);
        assert!(found.contains(&(at as u32)) && found.len() == 4);
        assert_eq!((keys.min_ts[at], keys.max_ts[at], keys.count[at]), (row.min_ts, row.max_ts, row.count));
        let chunks = file.fetch(&found.clone().collect::<Vec<_>>()).expect("fetched");
        assert!(found.zip(&chunks).all(|(row, chunk)| same(chunk, &rows[row as usize])));
    }
    let wanted: Vec<u32> = (0..rows.len() as u32).filter(|row| row % 97 < 3).collect();
    let chunks = file.fetch(&wanted).expect("fetched");
    assert!(wanted.iter().zip(&chunks).all(|(&row, chunk)| same(chunk, &rows[row as usize])));
    let aggregates = file.aggregates(&wanted).expect("read");
    assert!(wanted.iter().zip(&aggregates).all(|(&row, all)| *all == rows[row as usize].aggregates()));
    assert_eq!(file.fetch(&(0..file.rows()).collect::<Vec<_>>()).expect("all").len(), rows.len());
    let metrics = file.metrics().expect("names");
    assert_eq!(metrics.iter().map(|(_, rows)| rows.len()).collect::<Vec<_>>(), [10_600, 10_600]);
    file.verify().expect("sound");
    assert!(file.memory_bytes() > keys.memory_bytes());
    file.forget_keys();
}

#[test]
fn wrong_requests_are_named() {
    let (store, entry) = put(&rows(4, 1));
    let file = ChunkFile::open(Arc::clone(&store), &entry).expect("opens");
    assert_eq!(file.fetch(&[]).expect("nothing"), []);
    for rows in [&[1, 1][..], &[2, 1], &[4]] {
        assert!(matches!(file.fetch(rows), Err(LakeError::Invalid { .. })), "{rows:?}");
    }
    let missing = FileEntry { path: "date=2026-11-21/none.parquet".to_owned(), ..entry };
    assert!(matches!(ChunkFile::open(store, &missing), Err(LakeError::Missing { .. })));
}

#[test]
fn rows_that_cannot_be_stored_are_refused() {
    let good = rows(4, 2);
    let mut swapped = good.clone();
    swapped.swap(0, 1);
    let mut two_metrics = good.clone();
    two_metrics[7].series_id = two_metrics[0].series_id;
    let mut empty = good.clone();
    empty[0].count = 0;
    for rows in [&[][..], &swapped, &two_metrics, &empty] {
        assert!(matches!(encode_chunk_file(rows), Err(LakeError::Invalid { .. })));
    }
}

/// Everything that a query may read, or the first error.
fn read_all(store: &Arc<dyn ObjectStore>, entry: &FileEntry, probe: u32) -> Result<Vec<ChunkBytes>, LakeError> {
    let file = ChunkFile::open(Arc::clone(store), entry)?;
    let keys = file.keys()?;
    let mut chunks = file.fetch(&[probe])?;
    file.aggregates(&[probe])?;
    chunks.extend(file.fetch(&(0..keys.len() as u32).collect::<Vec<_>>())?);
    Ok(chunks)
}

#[test]
fn five_hundred_flipped_bits_are_found() {
    let rows = rows(400, 2);
    let (store, entry) = put(&rows);
    let sound = content(&store, &entry);
    let probe = 77;
    let expected = read_all(&store, &entry, probe).expect("sound");
    let (mut seed, mut found) = (42_u64, 0);
    for round in 0..500 {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let bit = if round % 3 == 0 {
            // The footer is a small part of the file: aim at it in every third round.
            entry.data_len as usize * 8 + (seed >> 20) as usize % ((sound.len() - entry.data_len as usize) * 8)
        } else {
            (seed >> 20) as usize % (sound.len() * 8)
        };
        let mut bytes = sound.to_vec();
        bytes[bit / 8] ^= 1 << (bit % 8);
        overwrite(&store, &entry, bytes);
        let verified = ChunkFile::open(Arc::clone(&store), &entry).and_then(|file| file.verify());
        assert!(matches!(verified, Err(LakeError::Damaged { .. })), "bit {bit}: {verified:?}");
        match read_all(&store, &entry, probe) {
            Ok(chunks) => assert_eq!(chunks, expected, "bit {bit} changed an answer"),
            Err(LakeError::Damaged { .. }) => found += 1,
            Err(other) => panic!("bit {bit}: {other}"),
        }
    }
    assert!(found > 400, "most bits are read by these queries: {found}");
}

#[test]
fn cut_zeroed_and_swapped_files_are_found() {
    let (store, entry) = put(&rows(40, 2));
    let sound = content(&store, &entry);
    for len in [0, 1, 4, 100, sound.len() / 2, sound.len() - 1] {
        overwrite(&store, &entry, sound[..len].to_vec());
        let result = ChunkFile::open(Arc::clone(&store), &entry);
        assert!(matches!(result, Err(LakeError::Damaged { .. })), "{len} bytes: {result:?}");
    }
    let mut zeroed = sound.to_vec();
    zeroed[4..2000].fill(0);
    overwrite(&store, &entry, zeroed);
    assert!(matches!(read_all(&store, &entry, 3), Err(LakeError::Damaged { .. })));
    let other = encode_chunk_file(&rows(42, 2)).expect("encodes");
    overwrite(&store, &entry, other.bytes.to_vec());
    assert!(matches!(read_all(&store, &entry, 3), Err(LakeError::Damaged { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_chunks_round_trip(
        lens in proptest::collection::vec((1_usize..40, any::<u64>()), 1..120),
        picks in proptest::collection::btree_set(0_usize..120, 1..20),
    ) {
        let metric: Arc<str> = Arc::from("m");
        let mut rows: Vec<ChunkRow> = lens.iter().enumerate().map(|(i, &(len, bits))| {
            let timestamps: Vec<i64> = (0..len as i64).map(|t| i64::MIN / 2 + i as i64 * 100 + t).collect();
            let values: Vec<f64> = (0..len as u64).map(|v| f64::from_bits(bits.rotate_left(v as u32) ^ v)).collect();
            ChunkRow::encode(Arc::clone(&metric), bits % 17, &timestamps, &values)
        }).collect();
        rows.sort_by_key(|row| (row.series_id, row.min_ts));
        let (store, entry) = put(&rows);
        let file = ChunkFile::open(store, &entry).expect("opens");
        let picks: Vec<u32> = picks.into_iter().filter(|&row| row < rows.len()).map(|row| row as u32).collect();
        let chunks = file.fetch(&picks).expect("fetched");
        prop_assert_eq!(chunks.len(), picks.len());
        for (chunk, &row) in chunks.iter().zip(&picks) {
            prop_assert!(same(chunk, &rows[row as usize]));
        }
        prop_assert_eq!(file.keys().expect("keys").n_series(), rows.iter().map(|r| r.series_id).collect::<std::collections::BTreeSet<_>>().len());
    }
}
