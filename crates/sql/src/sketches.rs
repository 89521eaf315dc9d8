//! `sketch_quantile(sketch, q)`: percentiles over any number of roll-up buckets, by merging their sketches.
//!
//! Merging is exact, so the answer is the same whichever buckets it is made from; its relative error is the sketches'.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion::common::ScalarValue;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Accumulator, AggregateUDF, Volatility, create_udaf};
use sketch::QuantileSketch;

const NAME: &str = "sketch_quantile";

/// The aggregate function.
pub(crate) fn quantile() -> AggregateUDF {
    create_udaf(
        NAME,
        vec![DataType::Binary, DataType::Float64],
        Arc::new(DataType::Float64),
        Volatility::Immutable,
        Arc::new(|_| Ok(Box::new(Quantile::default()) as Box<dyn Accumulator>)),
        Arc::new(vec![DataType::Binary, DataType::Float64]),
    )
}

/// Sketches merged so far; `q` is the first one seen.
#[derive(Debug, Default)]
struct Quantile {
    merged: QuantileSketch,
    q: Option<f64>,
}

impl Quantile {
    fn add(&mut self, columns: &[ArrayRef]) -> Result<()> {
        let [sketches, quantiles] = columns else {
            return Err(DataFusionError::Execution(format!("{NAME} takes a sketch and a number from 0 to 1")));
        };
        if self.q.is_none() {
            let mut quantiles = quantiles.as_primitive::<Float64Type>().iter().flatten();
            self.q = quantiles.next();
            if let Some(q) = self.q.filter(|q| !(0.0..=1.0).contains(q)) {
                return Err(DataFusionError::Execution(format!("{NAME}: {q} is not between 0 and 1")));
            }
        }
        for bytes in sketches.as_binary::<i32>().iter().flatten() {
            let merged = self.merged.merge_encoded(bytes);
            merged.map_err(|err| DataFusionError::Execution(format!("{NAME}: {err}")))?;
        }
        Ok(())
    }
}

impl Accumulator for Quantile {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.add(values)
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.add(states)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let mut bytes = Vec::new();
        self.merged.encode(&mut bytes);
        Ok(vec![ScalarValue::Binary(Some(bytes)), ScalarValue::Float64(self.q)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::Float64(self.q.and_then(|q| self.merged.quantile(q))))
    }

    fn size(&self) -> usize {
        self.merged.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{BinaryArray, Float64Array};

    fn columns(sketches: &[Option<Vec<u8>>], q: f64) -> Vec<ArrayRef> {
        let bytes = BinaryArray::from_iter(sketches.iter().map(Option::as_deref));
        vec![Arc::new(bytes), Arc::new(Float64Array::from(vec![q; sketches.len()]))]
    }

    fn sketch_of(values: std::ops::Range<u32>) -> Option<Vec<u8>> {
        let mut sketch = QuantileSketch::default();
        for value in values {
            assert!(sketch.insert(f64::from(value)));
        }
        let mut bytes = Vec::new();
        sketch.encode(&mut bytes);
        Some(bytes)
    }

    #[test]
    fn parts_merge_to_the_whole() {
        let (mut first, mut second, mut whole) = (Quantile::default(), Quantile::default(), Quantile::default());
        first.update_batch(&columns(&[sketch_of(0..30), None], 0.9)).expect("merges");
        second.update_batch(&columns(&[sketch_of(30..101)], 0.9)).expect("merges");
        whole.update_batch(&columns(&[sketch_of(0..101)], 0.9)).expect("merges");
        let state: Vec<ArrayRef> =
            second.state().expect("a state").iter().map(|part| part.to_array().expect("an array")).collect();
        first.merge_batch(&state).expect("merges");
        assert_eq!(first.evaluate().expect("answers"), whole.evaluate().expect("answers"));
        let ScalarValue::Float64(Some(value)) = whole.evaluate().expect("answers") else { panic!("no number") };
        assert!((value / 90.0 - 1.0).abs() < 0.011, "{value}");
    }

    #[test]
    fn nothing_and_nonsense_are_told_apart() {
        assert_eq!(Quantile::default().evaluate().expect("answers"), ScalarValue::Float64(None));
        let damaged = Quantile::default().update_batch(&columns(&[Some(vec![1, 2, 3])], 0.5));
        assert!(damaged.is_err_and(|err| err.to_string().contains(NAME)));
        let beyond = Quantile::default().update_batch(&columns(&[sketch_of(0..3)], 1.5));
        assert!(beyond.is_err_and(|err| err.to_string().contains("1.5")));
    }
}
