//! Floats that are short decimals, as integers over one power of ten.
//!
//! A value fits exponent `e` when `m = round(v · 10^e)` has at most 53 bits and `m / 10^e` gives `v` back bit for bit. As
//! 10^e is exact up to e = 22, the division rounds once, just like reading the decimal text: every value that was
//! printed with up to 15 digits fits. Single values that do not (stale markers, other NaN, −0, infinities, long
//! fractions) are exceptions with their position and bits; with too many of them the run is no decimal one.

/// Powers of ten that a double holds exactly.
const POWERS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20,
    1e21, 1e22,
];

/// Largest exponent that encoders try: beyond it only tiny values fit, and pco over floats is as short.
const EXPONENT_TRIED_MAX: usize = 18;
const MANTISSA_MAX: f64 = 9_007_199_254_740_992.0;

/// A run as integers.
#[derive(Debug, Default)]
pub(crate) struct Decimal {
    pub(crate) exponent: u8,
    /// One a value; an exception repeats the mantissa before it, which costs nothing as a difference.
    pub(crate) mantissas: Vec<i64>,
    /// Position and value, positions rising.
    pub(crate) exceptions: Vec<(usize, f64)>,
}

/// How many exceptions a run of `n` values may have: each costs about nine bytes.
fn exceptions_max(n: usize) -> usize {
    n / 16 + 1
}

/// `values` as integers, or `None` when too many of them do not fit one exponent.
pub(crate) fn scale(values: &[f64]) -> Option<Decimal> {
    let mut run = Decimal { exponent: 0, mantissas: Vec::with_capacity(values.len()), exceptions: vec![] };
    // A larger exponent fits nearly everything that a smaller one fits, so it only ever grows, and the run starts over.
    while let Some(larger) = try_scale(values, &mut run)? {
        run.exponent = larger;
        run.mantissas.clear();
        run.exceptions.clear();
    }
    Some(run)
}

/// Fills `run` under its exponent; answers the larger exponent that a value needs, or refuses for too many misfits.
fn try_scale(values: &[f64], run: &mut Decimal) -> Option<Option<u8>> {
    let (exponent, exceptions_max) = (usize::from(run.exponent), exceptions_max(values.len()));
    let mut last = 0;
    for (i, &value) in values.iter().enumerate() {
        match mantissa(value, exponent) {
            Some(m) => last = m,
            None => match (exponent + 1..=EXPONENT_TRIED_MAX).find(|&e| mantissa(value, e).is_some()) {
                Some(larger) => return Some(Some(larger as u8)),
                None if run.exceptions.len() == exceptions_max => return None,
                None => run.exceptions.push((i, value)),
            },
        }
        run.mantissas.push(last);
    }
    Some(None)
}

/// The values of a run; `None` for an exponent beyond the table.
pub(crate) fn unscale(exponent: u8, mantissas: &[i64], out: &mut Vec<f64>) -> Option<()> {
    let power = *POWERS.get(usize::from(exponent))?;
    if exponent == 0 {
        out.extend(mantissas.iter().map(|&m| m as f64));
    } else {
        out.extend(mantissas.iter().map(|&m| m as f64 / power));
    }
    Some(())
}

/// The integer `m` with `m / 10^exponent == value`, bit for bit, if there is one of at most 53 bits; `exponent` is at most
/// [`EXPONENT_TRIED_MAX`].
#[inline]
pub(crate) fn mantissa(value: f64, exponent: usize) -> Option<i64> {
    let power = POWERS[exponent];
    let scaled = value * power;
    // A NaN fails the comparison; −0 fails the test of bits, since the integer 0 comes back as +0.
    if scaled.abs() <= MANTISSA_MAX {
        let integer = nearest(scaled);
        let back = if exponent == 0 { integer as f64 } else { integer as f64 / power };
        if back.to_bits() == value.to_bits() {
            return Some(integer);
        }
    }
    None
}

/// The nearest integer of a number below 2^53. Without SSE 4.1, which not every x86-64 has, `round` is a call of a
/// library function that costs more than everything else here.
#[inline]
fn nearest(scaled: f64) -> i64 {
    let whole = scaled as i64;
    let rest = scaled - whole as f64;
    whole + i64::from(rest >= 0.5) - i64::from(rest <= -0.5)
}

/// Single values as decimals, for encoders that see one value at a time.
pub mod single {
    /// Largest exponent of [`mantissa`].
    pub const EXPONENT_MAX: u8 = super::EXPONENT_TRIED_MAX as u8;

    /// The integer `m` of at most 53 bits with `m / 10^exponent == value`, bit for bit, if there is one. `None` beyond
    /// [`EXPONENT_MAX`].
    #[inline]
    pub fn mantissa(value: f64, exponent: u8) -> Option<i64> {
        if exponent > EXPONENT_MAX { None } else { super::mantissa(value, usize::from(exponent)) }
    }

    /// The value of a mantissa; beyond [`EXPONENT_MAX`] NaN, which no mantissa stands for.
    #[inline]
    pub fn value(mantissa: i64, exponent: u8) -> f64 {
        match exponent {
            0 => mantissa as f64,
            1..=EXPONENT_MAX => mantissa as f64 / super::POWERS[usize::from(exponent)],
            _ => f64::NAN,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_decimals_fit() {
        for (text, exponent) in [("0.1", 1), ("123456.789", 3), ("1e15", 0), ("0.00042", 5), ("-17.25", 2)] {
            let value: f64 = text.parse().expect("a number");
            let run = scale(&[value]).expect("decimal");
            assert_eq!((usize::from(run.exponent), run.exceptions.len()), (exponent, 0), "{text}");
        }
    }

    #[test]
    fn odd_values_are_exceptions_and_too_many_are_refused() {
        let mut values = vec![1.5; 40];
        values[7] = f64::NAN;
        values[9] = -0.0;
        let run = scale(&values).expect("decimal");
        assert_eq!(run.exceptions.iter().map(|e| e.0).collect::<Vec<_>>(), [7, 9]);
        let thirds: Vec<f64> = (1..40).map(|i| f64::from(i) / 3.0).collect();
        assert!(scale(&thirds).is_none());
    }
}
