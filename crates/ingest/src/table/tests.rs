//! Tables by example and against what their rows say.

use proptest::prelude::*;

use super::*;

fn read(header: &str, rows: &[&str], mapping: &Mapping) -> (TableOutcome, Vec<String>) {
    let columns: Vec<String> = header.split(',').map(str::to_owned).collect();
    let cells = |row: &'static str| -> Vec<Cell<'static>> { row.split(';').map(Cell::Text).collect() };
    let rows: Vec<Vec<Cell<'static>>> =
        rows.iter().map(|row| cells(Box::leak((*row).to_owned().into_boxed_str()))).collect();
    let mut reader = TableReader::new(&columns, &rows[0], mapping).expect("mapped");
    let mut shown = Vec::new();
    let mut take = |batch: Batch| {
        shown.extend(batch.iter().map(|s| format!("{} {:?} {:?}", s.labels, s.timestamps, s.values)));
        Ok::<(), IngestError>(())
    };
    for row in &rows {
        reader.row(row, &mut take).expect("small");
    }
    let outcome = reader.finish(&mut take).expect("small");
    (outcome, shown)
}

#[test]
fn long_tables_need_no_mapping() {
    let rows = ["1;up;1;node", "1;down;;node", "2;up;0;node", "2;down;3;web"];
    let (outcome, shown) = read("ts,metric,value,job", &rows, &Mapping::default());
    assert_eq!((outcome.rows, outcome.samples), (4, 3));
    assert_eq!(shown, ["up{job=\"node\"} [1000, 2000] [1.0, 0.0]", "down{job=\"web\"} [2000] [3.0]"]);
}

#[test]
fn wide_tables_have_a_series_a_column() {
    let rows = ["2026-11-21;0.5;100;a", "2026-11-22;0.25;;a"];
    let (_, shown) = read("date,cpu,memory,instance", &rows, &Mapping::default());
    assert_eq!(
        shown,
        [
            "cpu{instance=\"a\"} [1795219200000, 1795305600000] [0.5, 0.25]",
            "memory{instance=\"a\"} [1795219200000] [100.0]"
        ]
    );
    let mapping = Mapping {
        metric: Some("node".into()),
        values: vec!["cpu".into(), "memory".into()],
        extra_labels: vec![("job".into(), "old".into())],
        ..Mapping::default()
    };
    let (_, shown) = read("date,cpu,memory,instance", &rows, &mapping);
    assert!(shown[1].starts_with("node_memory{instance=\"a\", job=\"old\"}"), "{shown:?}");
}

#[test]
fn columns_can_be_named_and_labels_come_from_objects() {
    let mapping = Mapping {
        time: Some("when".into()),
        time_unit: TimeUnit::Milliseconds,
        metric_column: Some("what".into()),
        values: vec!["much".into()],
        labels: vec!["zone".into()],
        ..Mapping::default()
    };
    let rows = ["5;up;1.5;eu;{\"job\":\"a\",\"n\":2}"];
    let (_, shown) = read("when,what,much,zone,labels", &rows, &mapping);
    assert_eq!(shown, ["up{job=\"a\", n=\"2\", zone=\"eu\"} [5] [1.5]"]);
}

#[test]
fn what_cannot_be_mapped_names_the_columns() {
    let fault = |header: &str, mapping: &Mapping| {
        let columns: Vec<String> = header.split(',').map(str::to_owned).collect();
        TableReader::new(&columns, &[Cell::Text("x"), Cell::Text("y")], mapping).err().expect("no mapping").to_string()
    };
    assert!(fault("a,b", &Mapping::default()).contains("--time"));
    assert!(fault("ts,b", &Mapping::default()).contains("--value"));
    let mapping = Mapping { time: Some("when".into()), ..Mapping::default() };
    assert_eq!(fault("a,b", &mapping), "there is no column `when`; the columns are a, b");
}

#[test]
fn bad_rows_are_refused_alone_with_their_number() {
    let rows = ["1;up;1", "soon;up;1", "2;up;one", "3;;1", "4;up;2"];
    let (outcome, shown) = read("ts,metric,value", &rows, &Mapping::default());
    assert_eq!((outcome.rows, outcome.rows_refused, outcome.samples), (5, 3, 2));
    assert_eq!(shown, ["up [1000, 4000] [1.0, 2.0]"]);
    let whys: Vec<_> = outcome.faults.iter().map(|fault| (fault.row, fault.why.as_str())).collect();
    assert_eq!(whys[0], (2, "column `ts`: `soon` is not a time"));
    assert_eq!(whys[1], (3, "column `value`: `one` is not a number"));
    assert_eq!(whys[2], (4, "there is no metric name (label __name__)"));
}

#[test]
fn typed_cells_are_taken_as_they_are() {
    let columns = ["ts", "metric", "value", "ok"].map(str::to_owned);
    let pairs = [("__name__".to_owned(), "up".to_owned()), ("job".to_owned(), "a".to_owned())];
    let row = [Cell::Time(Timestamp(7)), Cell::Pairs(&pairs), Cell::Integer(3), Cell::Flag(true)];
    let mut reader = TableReader::new(&columns, &row, &Mapping::default()).expect("mapped");
    let mut shown = Vec::new();
    let mut take = |batch: Batch| {
        shown.push(format!("{} {:?}", batch.series(0).labels, batch.series(0).values));
        Ok::<(), IngestError>(())
    };
    reader.row(&row, &mut take).expect("small");
    reader.finish(&mut take).expect("small");
    assert_eq!(shown, ["up{job=\"a\", ok=\"true\"} [3.0]"]);
}

proptest! {
    /// Whatever the order of rows, each series holds its rows in their order.
    #[test]
    fn rows_are_gathered_as_a_map_would(rows in prop::collection::vec((0_i64..50, 0_usize..3, 0_usize..3, -9..9_i64), 1..80)) {
        let names = ["a", "b", "c"];
        let columns = ["ts", "metric", "value", "job"].map(str::to_owned);
        let cells: Vec<_> = rows.iter().map(|&(at, metric, job, value)| {
            [Cell::Integer(at), Cell::Text(names[metric]), Cell::Integer(value), Cell::Text(names[job])]
        }).collect();
        let mut reader = TableReader::new(&columns, &cells[0], &Mapping::default()).expect("mapped");
        let mut found = std::collections::BTreeMap::<String, Vec<(i64, f64)>>::new();
        let mut take = |batch: Batch| {
            for series in batch.iter() {
                let samples = series.timestamps.iter().copied().zip(series.values.iter().copied());
                found.entry(series.labels.to_string()).or_default().extend(samples);
            }
            Ok::<(), IngestError>(())
        };
        for row in &cells {
            reader.row(row, &mut take).expect("small");
        }
        reader.finish(&mut take).expect("small");
        let mut wanted = std::collections::BTreeMap::<String, Vec<(i64, f64)>>::new();
        for &(at, metric, job, value) in &rows {
            let labels = format!("{}{{job=\"{}\"}}", names[metric], names[job]);
            wanted.entry(labels).or_default().push((at * 1000, value as f64));
        }
        prop_assert_eq!(found, wanted);
    }
}
