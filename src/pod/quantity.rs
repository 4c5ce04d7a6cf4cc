//! Kubernetes quantities, exactly: `500m`, `1.5Gi`, `2e3`.
//!
//! <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>

use std::str::FromStr;

/// An amount, in billionths: the finest that Kubernetes keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quantity(i128);

/// One unit in billionths.
const ONE: i128 = 1_000_000_000;

impl Quantity {
    /// So many whole units.
    pub fn of(units: u64) -> Quantity {
        Quantity(i128::from(units) * ONE)
    }

    /// How many times `unit` holds it, rounded up; none when that is below 0 or no number of ours.
    pub fn in_units_of(self, unit: Quantity) -> Option<u64> {
        if self.0 < 0 || unit.0 <= 0 {
            return None;
        }
        u64::try_from(self.0.checked_add(unit.0 - 1)? / unit.0).ok()
    }

    /// Whole units, rounded up.
    pub fn ceil(self) -> Option<u64> {
        self.in_units_of(Quantity(ONE))
    }

    /// Whether it is a whole number of `unit`.
    pub fn is_whole(self, unit: Quantity) -> bool {
        unit.0 > 0 && self.0 % unit.0 == 0
    }

    /// The sum, if there is one.
    pub fn plus(self, other: Quantity) -> Option<Quantity> {
        self.0.checked_add(other.0).map(Quantity)
    }
}

impl FromStr for Quantity {
    type Err = String;

    fn from_str(text: &str) -> Result<Quantity, String> {
        parse(text).map(Quantity).ok_or_else(|| format!("{text:?} is no quantity that fits"))
    }
}

fn parse(text: &str) -> Option<i128> {
    let (sign, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (-1, rest),
        None => (1, text.strip_prefix('+').unwrap_or(text)),
    };
    let end = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    // Zeros at the end say nothing and could make the number too large for us.
    let fraction = fraction.trim_end_matches('0');
    let digits = format!("{whole}{fraction}");
    let mantissa: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    let (factor, divisor) = scale(suffix)?;
    let divisor = power(10, u32::try_from(fraction.len()).ok()?)?.checked_mul(divisor)?;
    let scaled = mantissa.checked_mul(factor)?.checked_mul(ONE)?;
    // What is finer than a billionth is rounded up, as Kubernetes does.
    Some(sign * (scaled.checked_add(divisor - 1)? / divisor))
}

/// What a suffix multiplies with and divides by.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    Some(match suffix {
        "" => (1, 1),
        "n" => (1, ONE),
        "u" => (1, 1_000_000),
        "m" => (1, 1_000),
        "k" => (1_000, 1),
        "M" => (1_000_000, 1),
        "G" => (ONE, 1),
        "T" => (ONE * 1_000, 1),
        "P" => (ONE * 1_000_000, 1),
        "E" => (ONE * ONE, 1),
        "Ki" => (1 << 10, 1),
        "Mi" => (1 << 20, 1),
        "Gi" => (1 << 30, 1),
        "Ti" => (1 << 40, 1),
        "Pi" => (1 << 50, 1),
        "Ei" => (1 << 60, 1),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = power(10, exponent.unsigned_abs())?;
            if exponent < 0 { (1, power) } else { (power, 1) }
        }
    })
}

fn power(base: i128, exponent: u32) -> Option<i128> {
    base.checked_pow(exponent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Quantity {
        text.parse().unwrap()
    }

    #[test]
    fn every_way_to_write_an_amount_is_read_for_what_it_is() {
        for (text, nano) in [
            ("1", ONE),
            ("0.5", ONE / 2),
            (".5", ONE / 2),
            ("1.", ONE),
            ("500m", ONE / 2),
            ("1500u", 1_500_000),
            ("1n", 1),
            ("2k", 2_000 * ONE),
            ("1.5Gi", (3 << 29) * ONE),
            ("2e3", 2_000 * ONE),
            ("2E3", 2_000 * ONE),
            ("12e-1", 12 * ONE / 10),
            ("1E", ONE * ONE * ONE),
            ("-1", -ONE),
            ("0.1n", 1),
            ("1.0000000000000000000000000000000000000", ONE),
        ] {
            assert_eq!(read(text), Quantity(nano), "{text}");
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for bad in ["", ".", "-", "1x", "m", "1.2.3", "1 Gi", "1gi", "0x10", "1e", "1e99", "NaN", "9e30"] {
            assert!(bad.parse::<Quantity>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn units_are_rounded_up_and_never_below_nothing() {
        assert_eq!(read("500m").ceil(), Some(1));
        assert_eq!(read("2001m").ceil(), Some(3));
        assert_eq!(read("1Gi").in_units_of(read("1Mi")), Some(1024));
        assert_eq!(read("1G").in_units_of(read("1Mi")), Some(954));
        assert_eq!(read("-1").ceil(), None);
        assert!(read("1Gi").is_whole(read("1Mi")) && !read("1G").is_whole(read("1Mi")));
    }

    proptest! {
        #[test]
        fn a_number_in_millis_means_the_same_with_a_point(millis in 0u64..1_000_000_000_000) {
            let point = format!("{}.{:03}", millis / 1000, millis % 1000);
            prop_assert_eq!(read(&format!("{millis}m")), read(&point));
            prop_assert_eq!(read(&point).ceil(), Some(millis.div_ceil(1000)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[-+0-9.eEkKMGTPiun]{0,40}|.{0,10}") {
            let _ = text.parse::<Quantity>();
        }
    }
}
