//! Numbers as people read them.
//!
//! Each takes a value in its base unit (seconds, requests a second, bytes) and chooses the unit to print.
//! Rounding happens here alone, after everything has been judged.

pub const MEGABYTE: f64 = 1024.0 * 1024.0;

pub fn times(ratio: f64) -> String {
    if ratio < 100.0 { format!("{ratio:.2}x") } else { format!("{ratio:.0}x") }
}

pub fn seconds(value: f64) -> String {
    match value {
        v if v < 1e-3 => format!("{:.1} µs", v * 1e6),
        v if v < 1.0 => format!("{:.2} ms", v * 1e3),
        v => format!("{v:.2} s"),
    }
}

pub fn per_second(value: f64) -> String {
    if value < 1e6 { format!("{:.0} k/s", value / 1e3) } else { format!("{:.2} M/s", value / 1e6) }
}

pub fn megabytes(value: f64) -> String {
    format!("{:.2} MB", value / MEGABYTE)
}

/// 10000 as 10,000.
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
