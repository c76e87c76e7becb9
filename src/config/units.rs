//! Durations and sizes as files write them: a whole number and a unit, nothing between, nothing left out.

use std::time::Duration;

/// What is written wrong about a duration or size; said to the operator as it stands.
pub type Mistake = &'static str;

/// How a duration is written.
pub const DURATION_HELP: &str = "write a whole number and its unit, such as `500ms`, `30s`, `5m`, `8h` or `1d`";
/// How a size is written.
pub const SIZE_HELP: &str = "write a whole number and its unit, such as `512B`, `16KiB`, `64MiB` or `1GiB`";

/// Reads `500ms`, `30s`, `5m`, `8h`, `1d`.
///
/// # Errors
/// When the number or the unit is missing or unknown, or the number too large.
pub fn duration(text: &str) -> Result<Duration, Mistake> {
    let (number, unit) = split(text)?;
    let scaled = |scale: u64| number.checked_mul(scale).ok_or(TOO_LARGE);
    match unit {
        "ms" => Ok(Duration::from_millis(number)),
        "s" => Ok(Duration::from_secs(number)),
        "m" => scaled(60).map(Duration::from_secs),
        "h" => scaled(3600).map(Duration::from_secs),
        "d" => scaled(86_400).map(Duration::from_secs),
        "" => Err("a duration needs a unit"),
        _ => Err("unknown unit of time"),
    }
}

/// Reads `512B`, `16KiB`, `64MiB`, `1GiB`, in bytes.
///
/// # Errors
/// When the number or the unit is missing or unknown, or the number too large.
pub fn size(text: &str) -> Result<u64, Mistake> {
    let (number, unit) = split(text)?;
    let scale: u64 = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "" => return Err("a size needs a unit"),
        "KB" | "MB" | "GB" | "kB" | "K" | "M" | "G" | "k" => return Err("sizes are counted in powers of 1024"),
        _ => return Err("unknown unit of size"),
    };
    number.checked_mul(scale).ok_or(TOO_LARGE)
}

const TOO_LARGE: Mistake = "the number is too large";

fn split(text: &str) -> Result<(u64, &str), Mistake> {
    let unit = text.trim_start_matches(|c: char| c.is_ascii_digit());
    let digits = text.strip_suffix(unit).unwrap_or_default();
    if digits.is_empty() {
        return Err("there is no whole number");
    }
    digits.parse().map(|number| (number, unit)).map_err(|_overflow| TOO_LARGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_a_number_and_a_unit() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("5m", 300_000), ("8h", 28_800_000), ("1d", 86_400_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in [
            "",
            "5",
            "m",
            "-5m",
            "+5m",
            "5 m",
            "1.5h",
            "5M",
            "5min",
            "99999999999999999999s",
            "9999999999999999d",
            "５m",
        ] {
            assert!(duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_is_a_number_and_a_binary_unit() {
        for (text, bytes) in [("512B", 512), ("16KiB", 16_384), ("64MiB", 67_108_864), ("1GiB", 1_073_741_824)] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for text in ["", "16", "16KB", "16k", "KiB", "16 KiB", "99999999999GiB", "0x10B"] {
            assert!(size(text).is_err(), "{text}");
        }
    }
}
