//! Times, sizes and rates, as written on the command line and in files.

use serde::de::{self, Deserializer, Visitor};
use serde::{Serialize, Serializer};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A hundred years. Clocks overflow with much more.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// A time: `90`, `90s`, `1m 30s`, `500ms`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeSpan(pub Duration);

impl FromStr for TimeSpan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let span = match text.trim().parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
            Err(_) => humantime::parse_duration(text).ok(),
        };
        span.filter(|span| *span <= LONGEST)
            .map(Self)
            .ok_or_else(|| "expected a time like 90, 90s, 1m30s or 500ms, at most a hundred years".to_owned())
    }
}

/// A time limit: a [`TimeSpan`] greater than zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeLimit(pub Duration);

impl FromStr for TimeLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let TimeSpan(span) = text.parse()?;
        if span.is_zero() {
            return Err("the time limit must be greater than zero; omit it for no limit".to_owned());
        }
        Ok(Self(span))
    }
}

/// Parses a number on the command line that must not be zero.
pub fn at_least_one<T: FromStr>(text: &str) -> Result<T, String> {
    text.parse()
        .map_err(|_| "expected a whole number, 1 or more".to_owned())
}

/// The largest file size that file systems support.
const MOST: f64 = 9_223_372_036_854_775_807.0;

/// A number of bytes: `4096`, `512M`, `1.5G`; each step is 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let at = text
            .find(|sign: char| sign.is_ascii_alphabetic())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(at);
        let unit = unit.to_ascii_uppercase();
        let steps = match unit.trim_end_matches("IB").trim_end_matches('B') {
            "" => 0,
            "K" => 1,
            "M" => 2,
            "G" => 3,
            "T" => 4,
            _ => u32::MAX,
        };
        let number: Option<f64> = number.trim().parse().ok();
        let bytes = number.map(|number| number * f64::from(1u32 << 10).powi(steps.min(5).cast_signed()));
        let bytes = bytes.filter(|bytes| steps < 5 && (0.0..=MOST).contains(bytes));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the range was checked before"
        )]
        bytes
            .map(|bytes| Self(bytes as u64))
            .ok_or_else(|| "expected a size like 4096, 512M or 1.5G, with units of 1024".to_owned())
    }
}

/// A rate of starts: `50`, `50/s`, `30/m`, `100/h`; stored as the time between two starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub Duration);

impl FromStr for Rate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (number, unit) = text.trim().split_once('/').unwrap_or((text.trim(), "s"));
        let span = match unit.trim() {
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => f64::NAN,
        };
        let number: f64 = number.trim().parse().unwrap_or(f64::NAN);
        Duration::try_from_secs_f64(span / number)
            .ok()
            .filter(|interval| !interval.is_zero() && *interval <= LONGEST)
            .map(Self)
            .ok_or_else(|| "expected a rate like 50 (per second), 50/s, 30/m or 100/h".to_owned())
    }
}

/// The limit of a group: `database=2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupLimit {
    pub group: String,
    pub limit: usize,
}

impl FromStr for GroupLimit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.rsplit_once('=')
            .and_then(|(group, limit)| {
                let limit = limit.trim().parse().ok().filter(|limit| *limit > 0)?;
                let group = group.trim().to_owned();
                (!group.is_empty()).then_some(Self { group, limit })
            })
            .ok_or_else(|| "expected NAME=N with N greater than 0".to_owned())
    }
}

/// Deserializes a string or a number with `FromStr`.
struct TextOrNumber<T>(std::marker::PhantomData<T>);

impl<T: FromStr<Err = String>> Visitor<'_> for TextOrNumber<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a number")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<T, E> {
        self.visit_str(&number.to_string())
    }
}

macro_rules! from_text_or_number {
    ($($value:ty),*) => {$(
        impl<'de> de::Deserialize<'de> for $value {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any(TextOrNumber(std::marker::PhantomData))
            }
        }
    )*};
}

from_text_or_number!(TimeSpan, TimeLimit, ByteSize, Rate);

impl Serialize for TimeLimit {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.0.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_have_units() {
        for (text, millis) in [
            ("90", 90_000),
            ("0.5", 500),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            ("250ms", 250),
        ] {
            assert_eq!(
                text.parse(),
                Ok(TimeSpan(Duration::from_millis(millis))),
                "{text}"
            );
        }
        for text in ["", "soon", "-1", "1e400", "10 parsecs"] {
            assert!(text.parse::<TimeSpan>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_time_limit_is_greater_than_zero() {
        assert_eq!("2m".parse(), Ok(TimeLimit(Duration::from_secs(120))));
        for text in ["0", "0s", "0.0", "soon", "1e19", "101y"] {
            assert!(text.parse::<TimeLimit>().is_err(), "{text}");
        }
    }

    #[test]
    fn units_of_size_are_powers_of_1024() {
        for (text, bytes) in [
            ("4096", 4096),
            ("1k", 1024),
            ("512M", 512 << 20),
            ("1.5GiB", 3 << 29),
            ("2 gb", 2 << 30),
            ("2147483648", 2 << 30),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "G", "-1K", "1X", "1KK", "NaN", "99999999999T"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }

    #[test]
    fn rates_are_stored_as_the_time_between_two_starts() {
        for (text, micros) in [
            ("50", 20_000),
            ("50/s", 20_000),
            ("30/m", 2_000_000),
            ("0.5", 2_000_000),
        ] {
            assert_eq!(text.parse(), Ok(Rate(Duration::from_micros(micros))), "{text}");
        }
        for text in ["", "0", "-1", "5/d", "fast", "inf", "1e-8/h"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_limit_of_a_group_is_a_name_and_a_number() {
        let limit = GroupLimit {
            group: "a=b".to_owned(),
            limit: 2,
        };
        assert_eq!("a=b=2".parse(), Ok(limit));
        for text in ["a", "a=", "=2", "a=0", "a=x"] {
            assert!(text.parse::<GroupLimit>().is_err(), "{text}");
        }
    }
}
