//! Numbers in the forms of C's `printf`.

use super::Conversion;
use crate::report::float::general;

/// A number, padded.
pub(super) fn convert(conversion: &Conversion, value: u64) -> String {
    match conversion.letter {
        'd' | 'i' | 'u' | 'o' | 'x' | 'X' => integer(conversion, value),
        _ => float(conversion, value),
    }
}

/// The sign that a number gets.
fn sign(conversion: &Conversion, negative: bool) -> &'static str {
    match (negative, conversion.plus, conversion.space) {
        (true, ..) => "-",
        (_, true, _) => "+",
        (_, _, true) => " ",
        _ => "",
    }
}

fn integer(conversion: &Conversion, value: u64) -> String {
    let signed = matches!(conversion.letter, 'd' | 'i');
    let bits: u32 = match conversion.size.as_str() {
        "I64" | "ll" | "I" => 64,
        "h" => 16,
        "hh" => 8,
        _ => 32,
    };
    let shift = 64 - bits;
    let (negative, magnitude) = match signed {
        true => {
            let value = ((value << shift) as i64) >> shift;
            (value < 0, value.unsigned_abs())
        }
        false => (false, value << shift >> shift),
    };
    let mut digits = match conversion.letter {
        'o' => format!("{magnitude:o}"),
        'x' => format!("{magnitude:x}"),
        'X' => format!("{magnitude:X}"),
        _ => magnitude.to_string(),
    };
    if let Some(least) = conversion.precision {
        if least == 0 && magnitude == 0 {
            digits.clear();
        }
        digits = format!("{digits:0>least$}");
    }
    let prefix = match conversion.letter {
        'x' if conversion.alternative && magnitude != 0 => "0x",
        'X' if conversion.alternative && magnitude != 0 => "0X",
        'o' if conversion.alternative && !digits.starts_with('0') => "0",
        'd' | 'i' => sign(conversion, negative),
        _ => "",
    };
    pad(conversion, prefix, &digits, conversion.precision.is_none())
}

fn float(conversion: &Conversion, value: u64) -> String {
    let number = match conversion.size.as_str() {
        "l" => f64::from_bits(value),
        _ => f64::from(f32::from_bits(value as u32)),
    };
    let (negative, magnitude) = (number.is_sign_negative(), number.abs());
    let precision = conversion.precision.unwrap_or(6);
    let mut text = match conversion.letter {
        _ if !number.is_finite() => general(magnitude, 6),
        'f' => format!("{magnitude:.precision$}"),
        'e' | 'E' => {
            let text = format!("{magnitude:.precision$e}");
            let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
            let exponent: i32 = exponent.parse().unwrap_or(0);
            let sign = if exponent < 0 { '-' } else { '+' };
            format!("{mantissa}e{sign}{:03}", exponent.abs())
        }
        _ => general(magnitude, precision),
    };
    if conversion.letter.is_ascii_uppercase() {
        text = text.to_ascii_uppercase();
    }
    pad(
        conversion,
        sign(conversion, negative),
        &text,
        number.is_finite(),
    )
}

/// A text in its field: behind its sign or prefix there may be zeros.
pub(super) fn pad(conversion: &Conversion, prefix: &str, text: &str, zeros: bool) -> String {
    let length = prefix.chars().count() + text.chars().count();
    let missing = conversion.width.saturating_sub(length);
    match (conversion.left, conversion.zeros && zeros) {
        (true, _) => format!("{prefix}{text}{:missing$}", ""),
        (_, true) => format!("{prefix}{}{text}", "0".repeat(missing)),
        _ => format!("{:missing$}{prefix}{text}", ""),
    }
}
