//! Floating-point numbers as debuggers of Windows 7's time print them.

/// A number as C's `%.Ng` prints it, with the three digits of an exponent and the words for what is
/// no number that Microsoft's library had then: `1.05612e-038`, `1.#INF`, `1.#QNAN`.
///
/// ```
/// use poolhit::report::float::general;
/// assert_eq!(general(255.0, 8), "255");
/// assert_eq!(general(1.056121e-38, 6), "1.05612e-038");
/// assert_eq!(general(f64::NEG_INFINITY, 6), "-1.#INF");
/// ```
pub fn general(value: f64, digits: usize) -> String {
    let digits = digits.clamp(1, 17);
    let sign = if value.is_sign_negative() { "-" } else { "" };
    if value.is_nan() {
        return format!("{sign}1.#QNAN");
    }
    if value.is_infinite() {
        return format!("{sign}1.#INF");
    }
    if value == 0.0 {
        return format!("{sign}0");
    }
    let scientific = format!("{:.*e}", digits - 1, value);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if exponent < -4 || exponent >= digits as i32 {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{}e{sign}{:03}", trimmed(mantissa), exponent.abs());
    }
    let places = (digits as i32 - 1 - exponent).max(0) as usize;
    trimmed(&format!("{value:.places$}")).to_string()
}

/// Without the zeros that end a fraction.
fn trimmed(text: &str) -> &str {
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.'),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_have_c_s_form() {
        for (value, digits, expected) in [
            (0.0, 6, "0"),
            (-0.0, 6, "-0"),
            (1.0, 6, "1"),
            (1999.99, 12, "1999.99"),
            (123456.0, 6, "123456"),
            (1234567.0, 6, "1.23457e+006"),
            (0.0001, 6, "0.0001"),
            (0.00001, 6, "1e-005"),
            (999999.5, 6, "1e+006"),
            (1e300, 6, "1e+300"),
            (-1.5, 6, "-1.5"),
            (f64::NAN, 6, "1.#QNAN"),
        ] {
            assert_eq!(general(value, digits), expected);
        }
    }

    proptest! {
        /// Seventeen digits are enough to tell every number.
        #[test]
        fn printed_numbers_read_back(bits: u64) {
            let value = f64::from_bits(bits);
            if value.is_finite() {
                prop_assert_eq!(general(value, 17).parse::<f64>().unwrap().to_bits(), bits);
            } else {
                prop_assert!(general(value, 17).contains('#'));
            }
        }
    }
}
