//! The values a key can have: words, numbers, durations and sizes with their units.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::DeValue;

use crate::config::settings::MASK;
use crate::config::settings::quoted;
use crate::secret::Secret;
use crate::telemetry::traces::Share;

/// A value as it was written.
#[derive(Clone, Copy, Debug)]
pub enum Raw<'a> {
    /// In the file.
    Toml(&'a DeValue<'a>),
    /// In the environment, where everything is text and lists are separated by commas.
    Text(&'a str),
}

/// A size in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteSize(pub usize);

/// A type that a key can have.
pub trait Value: Sized {
    /// Tells how such a value is written.
    const EXPECTED: &'static str;

    /// Reads the value; nothing if it is not one.
    fn read(raw: Raw<'_>) -> Option<Self>;

    /// Writes the value as it may be told: in TOML's words, with what is secret masked.
    fn write(&self) -> String;
}

impl<'a> Raw<'a> {
    fn text(self) -> Option<&'a str> {
        match self {
            Self::Toml(DeValue::String(text)) => Some(text),
            Self::Text(text) => Some(text),
            Self::Toml(_) => None,
        }
    }

    fn integer(self) -> Option<u64> {
        match self {
            Self::Toml(DeValue::Integer(number)) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            Self::Text(text) => text.parse().ok(),
            Self::Toml(_) => None,
        }
    }

    fn list(self) -> Option<Vec<Raw<'a>>> {
        match self {
            Self::Toml(DeValue::Array(items)) => Some(items.iter().map(|item| Raw::Toml(item.get_ref())).collect()),
            Self::Text(text) => {
                Some(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(Raw::Text).collect())
            }
            Self::Toml(_) => None,
        }
    }
}

impl Value for String {
    const EXPECTED: &'static str = "a string, such as \"text\"";

    fn read(raw: Raw<'_>) -> Option<Self> {
        raw.text().map(str::to_owned)
    }

    fn write(&self) -> String {
        quoted(self)
    }
}

impl Value for Secret<String> {
    const EXPECTED: &'static str = String::EXPECTED;

    fn read(raw: Raw<'_>) -> Option<Self> {
        String::read(raw).map(Self::new)
    }

    fn write(&self) -> String {
        // whether there is one may be told
        quoted(if self.expose().is_empty() { "" } else { MASK })
    }
}

impl Value for PathBuf {
    const EXPECTED: &'static str = "a path, such as \"/etc/glance-gate/file\"";

    fn read(raw: Raw<'_>) -> Option<Self> {
        raw.text().map(Self::from)
    }

    fn write(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

impl Value for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(raw: Raw<'_>) -> Option<Self> {
        match raw {
            Raw::Toml(DeValue::Boolean(value)) => Some(*value),
            Raw::Text(text) => text.parse().ok(),
            Raw::Toml(_) => None,
        }
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Value for u64 {
    const EXPECTED: &'static str = "a whole number, such as 100";

    fn read(raw: Raw<'_>) -> Option<Self> {
        raw.integer()
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Value for u32 {
    const EXPECTED: &'static str = "a whole number, such as 3";

    fn read(raw: Raw<'_>) -> Option<Self> {
        raw.integer()?.try_into().ok()
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Value for usize {
    const EXPECTED: &'static str = "a whole number, such as 100";

    fn read(raw: Raw<'_>) -> Option<Self> {
        raw.integer()?.try_into().ok()
    }

    fn write(&self) -> String {
        self.to_string()
    }
}

impl Value for Duration {
    const EXPECTED: &'static str = "a time with its unit, such as \"250ms\", \"30s\", \"10m\" or \"6h\"";

    fn read(raw: Raw<'_>) -> Option<Self> {
        let (number, unit) = split(raw.text()?)?;
        let millis = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return None,
        };
        number.checked_mul(millis).map(Self::from_millis)
    }

    fn write(&self) -> String {
        let millis = self.as_millis();
        let unit =
            [(3_600_000, "h"), (60_000, "m"), (1_000, "s")].into_iter().find(|(unit, _)| millis.is_multiple_of(*unit));
        match unit {
            // no time has no unit of its own
            Some((unit, name)) if millis > 0 => format!("\"{}{name}\"", millis / unit),
            None if millis > 0 => format!("\"{millis}ms\""),
            Some(_) | None => "\"0s\"".into(),
        }
    }
}

impl Value for ByteSize {
    const EXPECTED: &'static str = "a size with its unit, such as \"512B\", \"64KiB\" or \"1MiB\"";

    fn read(raw: Raw<'_>) -> Option<Self> {
        let (number, unit) = split(raw.text()?)?;
        let bytes = match unit {
            "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            _ => return None,
        };
        number.checked_mul(bytes)?.try_into().ok().map(Self)
    }

    fn write(&self) -> String {
        let unit = [(1 << 20, "MiB"), (1 << 10, "KiB")]
            .into_iter()
            .find(|(unit, _)| self.0 > 0 && self.0.is_multiple_of(*unit));
        unit.map_or_else(|| format!("\"{}B\"", self.0), |(unit, name)| format!("\"{}{name}\"", self.0 / unit))
    }
}

impl Value for Share {
    const EXPECTED: &'static str = "a number from 0 to 1 with at most six decimals, such as 0.05";

    fn read(raw: Raw<'_>) -> Option<Self> {
        let text = match raw {
            Raw::Toml(DeValue::Float(number)) => number.as_str(),
            Raw::Toml(DeValue::Integer(number)) => number.as_str(),
            Raw::Text(text) => text,
            Raw::Toml(_) => return None,
        };
        let (whole, decimals) = text.split_once('.').unwrap_or((text, "0"));
        let are_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if !are_digits(whole) || !are_digits(decimals) || decimals.len() > 6 {
            return None;
        }
        let millionths: u32 = format!("{decimals:0<6}").parse().ok()?;
        let share = whole.parse::<u32>().ok()?.checked_mul(Self::ALL.0)?.checked_add(millionths)?;
        (share <= Self::ALL.0).then_some(Self(share))
    }

    fn write(&self) -> String {
        let text = format!("{}.{:06}", self.0 / Self::ALL.0, self.0 % Self::ALL.0);
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

impl Value for SocketAddr {
    const EXPECTED: &'static str = "an address with its port, such as \"127.0.0.1:9292\" or \"[::1]:9292\"";

    fn read(raw: Raw<'_>) -> Option<Self> {
        raw.text()?.parse().ok()
    }

    fn write(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for IpNet {
    const EXPECTED: &'static str = "a network, such as \"10.0.0.0/8\", or an address";

    fn read(raw: Raw<'_>) -> Option<Self> {
        let text = raw.text()?;
        text.parse().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(Self::from))
    }

    fn write(&self) -> String {
        quoted(&self.to_string())
    }
}

impl<T: Value> Value for Vec<T> {
    const EXPECTED: &'static str = "a list, such as [\"first\", \"second\"], of values that fit the key";

    fn read(raw: Raw<'_>) -> Option<Self> {
        raw.list()?.into_iter().map(T::read).collect()
    }

    fn write(&self) -> String {
        let items: Vec<String> = self.iter().map(T::write).collect();
        format!("[{}]", items.join(", "))
    }
}

/// Splits `30s` into its number and its unit.
fn split(text: &str) -> Option<(u64, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    Some((number.parse().ok()?, unit.trim_start()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::ByteSize;
    use super::Raw;
    use super::Value;

    #[test]
    fn units_are_part_of_a_value() {
        assert_eq!(Duration::read(Raw::Text("250ms")), Some(Duration::from_millis(250)));
        assert_eq!(Duration::read(Raw::Text("6h")), Some(Duration::from_hours(6)));
        assert_eq!(Duration::read(Raw::Text("5")), None);
        assert_eq!(Duration::read(Raw::Text("-5s")), None);
        assert_eq!(ByteSize::read(Raw::Text("64KiB")), Some(ByteSize(65_536)));
        assert_eq!(ByteSize::read(Raw::Text("64kb")), None);
    }
}
