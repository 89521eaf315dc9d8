//! A store in memory: all that the evaluator asks of one.

use std::collections::{BTreeMap, BTreeSet};

use series::{
    Columns, Histogram, HistogramSample, Labels, Matcher, Metadata, Select, SelectError, SelectRequest, SeriesSet,
    TimeRange, Timestamp,
};

#[derive(Clone)]
enum Kept {
    Float(f64),
    Histogram(Box<Histogram>),
}

#[derive(Default, Clone)]
pub(crate) struct Memory {
    series: BTreeMap<Labels, BTreeMap<i64, Kept>>,
}

struct Found(Vec<(Labels, Columns, Vec<HistogramSample>)>);

impl Memory {
    pub(crate) fn push(&mut self, labels: &Labels, at: i64, value: f64) {
        self.series.entry(labels.clone()).or_default().insert(at, Kept::Float(value));
    }

    pub(crate) fn push_histogram(&mut self, labels: &Labels, at: i64, histogram: Histogram) {
        self.series.entry(labels.clone()).or_default().insert(at, Kept::Histogram(Box::new(histogram)));
    }

    fn found(&self, matchers: &[Matcher], range: TimeRange) -> Found {
        let matching =
            self.series.iter().filter(|(labels, _)| matchers.iter().all(|m| m.matches_labels(labels.as_ref())));
        let inside = matching.map(|(labels, samples)| {
            let (mut columns, mut histograms) = (Columns::default(), Vec::new());
            for (at, kept) in samples.iter().filter(|(at, _)| range.contains(Timestamp(**at))) {
                let at = Timestamp(*at);
                match kept {
                    Kept::Float(value) => columns.push(at, *value),
                    Kept::Histogram(histogram) => {
                        histograms.push(HistogramSample { at, histogram: histogram.as_ref().clone() });
                    }
                }
            }
            (labels.clone(), columns, histograms)
        });
        Found(inside.filter(|(_, columns, histograms)| !columns.is_empty() || !histograms.is_empty()).collect())
    }
}

impl Select for Memory {
    fn select(&self, request: &SelectRequest<'_>) -> Result<Box<dyn SeriesSet>, SelectError> {
        let found = self.found(request.matchers, request.range);
        if request.series_max > 0 && found.0.len() > request.series_max {
            return Err(SelectError::TooManySeries { found: found.0.len(), limit: request.series_max });
        }
        Ok(Box::new(found))
    }

    fn series(&self, selectors: &[Vec<Matcher>], range: TimeRange, _: usize) -> Result<Vec<Labels>, SelectError> {
        let all: BTreeSet<Labels> =
            selectors.iter().flat_map(|matchers| self.found(matchers, range).0).map(|(labels, ..)| labels).collect();
        Ok(all.into_iter().collect())
    }

    fn label_names(&self, _: &[Vec<Matcher>], _: TimeRange, _: usize) -> Result<Vec<String>, SelectError> {
        Ok(Vec::new())
    }

    fn label_values(&self, _: &str, _: &[Vec<Matcher>], _: TimeRange, _: usize) -> Result<Vec<String>, SelectError> {
        Ok(Vec::new())
    }

    fn metadata(&self, _: Option<&str>) -> Vec<Metadata> {
        Vec::new()
    }
}

impl SeriesSet for Found {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn labels(&self, i: usize) -> &Labels {
        &self.0[i].0
    }

    fn read(&self, i: usize, range: TimeRange, out: &mut Columns) -> Result<(), SelectError> {
        for (at, value) in self.0[i].1.iter().filter(|(at, _)| range.contains(*at)) {
            out.push(at, value);
        }
        Ok(())
    }

    fn has_histograms(&self, i: usize) -> bool {
        !self.0[i].2.is_empty()
    }

    fn read_histograms(&self, i: usize, range: TimeRange, out: &mut Vec<HistogramSample>) -> Result<(), SelectError> {
        out.extend(self.0[i].2.iter().filter(|sample| range.contains(sample.at)).cloned());
        Ok(())
    }
}
