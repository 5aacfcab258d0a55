//! What a word without quotes means in YAML 1.1, by the patterns of `PyYAML`'s resolver.

/// What a word is, as far as it matters to a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word {
    /// A string.
    Text,
    /// `null`, `false`, zero.
    Nothing,
    /// `true`, another number, a date.
    Something,
    /// `<<` and `=`, which stand for more than themselves.
    Special,
}

/// Tells what a word means.
pub fn word(text: &str) -> Word {
    match text {
        "" | "~" | "null" | "Null" | "NULL" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off"
        | "OFF" => Word::Nothing,
        "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => Word::Something,
        "<<" | "=" => Word::Special,
        text if is_number(text) && is_zero(text) => Word::Nothing,
        text if is_number(text) || is_date(text) => Word::Something,
        _ => Word::Text,
    }
}

/// Tells what `PyYAML` takes for an integer or a float.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let all = |text: &str, is: fn(char) -> bool| !text.is_empty() && text.chars().all(is);
    let is_digit = |c: char| c.is_ascii_digit() || c == '_';
    let starts = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return true;
    }
    if let Some(digits) = unsigned.strip_prefix("0b") {
        return all(digits, |c| matches!(c, '0' | '1' | '_'));
    }
    if let Some(digits) = unsigned.strip_prefix("0x") {
        return all(digits, |c| c.is_ascii_hexdigit() || c == '_');
    }
    if unsigned.len() > 1 && unsigned.starts_with('0') && all(unsigned, is_digit) {
        return all(unsigned, |c| matches!(c, '0'..='7' | '_'));
    }
    if starts(unsigned) && all(unsigned, is_digit) {
        return true;
    }
    if unsigned.contains(':') {
        return is_sexagesimal(unsigned);
    }
    let Some((whole, rest)) = unsigned.split_once('.') else { return false };
    let (fraction, has_exponent) = match rest.split_once(['e', 'E']) {
        None => (rest, true),
        Some((fraction, exponent)) => {
            let digits = exponent.strip_prefix(['-', '+']);
            (fraction, digits.is_some_and(|digits| all(digits, |c| c.is_ascii_digit())))
        }
    };
    let is_whole = if whole.is_empty() { starts(fraction) && text == unsigned } else { starts(whole) };
    has_exponent && is_whole && whole.chars().all(is_digit) && fraction.chars().all(is_digit)
}

/// Tells whether a number is zero.
fn is_zero(number: &str) -> bool {
    let unsigned = number.trim_start_matches(['-', '+']);
    let digits = unsigned.strip_prefix("0x").or_else(|| unsigned.strip_prefix("0b"));
    let digits = digits.unwrap_or_else(|| unsigned.split(['e', 'E']).next().unwrap_or(unsigned));
    digits.chars().all(|c| matches!(c, '0' | '_' | '.' | ':'))
}

/// Tells whether this is a number to the base of sixty, such as `1:30`.
fn is_sexagesimal(text: &str) -> bool {
    let (whole, fraction) = text.split_once('.').map_or((text, None), |(whole, fraction)| (whole, Some(fraction)));
    let mut parts = whole.split(':');
    let first = parts.next().unwrap_or_default();
    let is_first = match fraction {
        Some(_) => first.starts_with(|c: char| c.is_ascii_digit()),
        None => first.starts_with(|c: char| matches!(c, '1'..='9')),
    };
    let is_digit = |c: char| c.is_ascii_digit() || c == '_';
    let is_sixtieth = |part: &str| matches!(part.as_bytes(), [b'0'..=b'9'] | [b'0'..=b'5', b'0'..=b'9']);
    is_first
        && first.chars().all(is_digit)
        && parts.all(is_sixtieth)
        && fraction.is_none_or(|fraction| fraction.chars().all(is_digit))
}

/// Tells whether this looks like a date, which no rule does.
fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split(['T', 't', ' ']).next().unwrap_or_default().split('-').collect();
    let is_digits =
        |text: &str, lengths: &[usize]| lengths.contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    match parts[..] {
        [year, month, day] if text.len() > 10 => {
            is_digits(year, &[4]) && is_digits(month, &[1, 2]) && is_digits(day, &[1, 2]) && text.contains(':')
        }
        [year, month, day] => is_digits(year, &[4]) && is_digits(month, &[2]) && is_digits(day, &[2]),
        _ => false,
    }
}
