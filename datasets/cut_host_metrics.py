#!/usr/bin/env python3
"""Cuts host-metrics.parquet, the extract that the binary embeds, from the full recording.

    pip install pyarrow==26.0.1 numpy==2.4.6
    python datasets/cut_host_metrics.py FULL.parquet datasets/host-metrics.parquet

What is kept, by rules that look only at the data, so that the same input gives the same bytes:

1. Series that change at least once, and the constants in CONSTANTS, which others are read against (sizes, limits, `up`).
   Left out are the metrics of DROPPED: series of single threads, and the recorder's own summaries.
2. Of each series the first sample in every STEP_MS, with its own time and bits: nothing is averaged or moved. The last
   sample before a gap and the last of all stay too, so series end when they ended.

Rows are sorted by metric, labels, time. Times are delta-encoded, values dictionary- or plain-encoded, pages ZSTD.
"""

import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

STEP_MS = 10_000
GAP_MS = 30_000
CONSTANTS = {
    "up", "node_memory_MemTotal_bytes", "node_memory_SwapTotal_bytes", "node_filesystem_size_bytes", "node_filesystem_files",
    "node_boot_time_seconds", "node_filefd_maximum", "node_network_up", "node_vmstat_oom_kill", "process_max_fds",
    "process_start_time_seconds", "prometheus_build_info", "node_exporter_build_info", "go_info",
}
DROPPED = (
    "namedprocess_namegroup_thread_", "namedprocess_namegroup_threads_", "go_gc_", "go_memstats_", "node_timex_",
    "node_scrape_collector_", "prometheus_engine_", "prometheus_target_", "prometheus_tsdb_compaction_", "prometheus_sd_",
    "prometheus_rule_", "prometheus_tsdb_wal_fsync_", "prometheus_tsdb_tombstone_",
)


def runs(table):
    """First row of every series, and the end of the last one; the input is sorted by metric and labels."""
    metric, labels = (table[name].combine_chunks() for name in ("metric", "labels"))
    codes = [column.dictionary_encode().indices.to_numpy() for column in (metric, labels)]
    changes = (np.diff(codes[0]) != 0) | (np.diff(codes[1]) != 0)
    return np.concatenate(([0], np.flatnonzero(changes) + 1, [table.num_rows]))


def thinned(ts):
    """Rows of one series to keep."""
    bucket = ts // STEP_MS
    first = np.concatenate(([True], bucket[1:] != bucket[:-1]))
    before_gap = np.concatenate((np.diff(ts) > GAP_MS, [True]))
    return np.flatnonzero(first | before_gap)


def wanted(metric, values):
    """Whether a series is kept at all; bits are compared, since NaN differs from itself."""
    if metric in CONSTANTS:
        return True
    return not metric.startswith(DROPPED) and bool((values.view(np.uint64) != values.view(np.uint64)[0]).any())


def cut(table):
    """The rows to keep, in the order of the input."""
    starts, kept = runs(table), []
    ts = table["ts"].combine_chunks().cast(pa.int64()).to_numpy()
    values = table["value"].combine_chunks().to_numpy()
    for start, end in zip(starts[:-1], starts[1:]):
        if wanted(table["metric"][int(start)].as_py(), values[start:end]):
            kept.append(start + thinned(ts[start:end]))
    return table.take(pa.array(np.concatenate(kept)))


def main(source, target):
    table = pq.read_table(source, columns=["metric", "labels", "ts", "value"], read_dictionary=[])
    text = pa.schema([("metric", pa.string()), ("labels", pa.string()), ("ts", pa.timestamp("ms", "UTC")), ("value", pa.float64())])
    rows = cut(table.cast(text).sort_by([("metric", "ascending"), ("labels", "ascending"), ("ts", "ascending")]))
    rows = rows.replace_schema_metadata(None).combine_chunks()
    pq.write_table(
        rows, target, row_group_size=1 << 20, compression="zstd", compression_level=19, version="2.6",
        data_page_version="1.0", use_dictionary=["metric", "labels", "value"], column_encoding={"ts": "DELTA_BINARY_PACKED"},
        dictionary_pagesize_limit=8 << 20, store_schema=False,
    )
    metrics = len(set(rows["metric"].to_pylist()))
    print(f"{target}: {rows.num_rows} rows, {len(runs(rows)) - 1} series, {metrics} metrics, "
          f"{rows['ts'][0].as_py().date()}, one sample in {STEP_MS // 1000} s")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2])
