//! Text in columns, for people.

use std::fmt::Write as _;

/// Which side of its column a cell stands on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Words.
    Left,
    /// Numbers.
    Right,
}

/// Lays rows out below each other, each line indented and without blanks at its end.
pub fn columns(indent: usize, sides: &[Side], rows: &[Vec<String>]) -> String {
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..sides.len()).map(|column| width(column).unwrap_or_default()).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = " ".repeat(indent);
        for ((cell, side), width) in row.iter().zip(sides).zip(&widths) {
            // writing to a string can not fail
            let _ = match side {
                Side::Left => write!(line, "{cell:<width$}  "),
                Side::Right => write!(line, "{cell:>width$}  "),
            };
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Writes a number with its thousands apart.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Writes milliseconds as seconds.
pub fn seconds(millis: u64) -> String {
    format!("{}.{} s", millis / 1000, millis % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::Side;
    use super::columns;
    use super::number;
    use super::seconds;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [vec!["a".into(), "1".into(), "x".into()], vec!["bcd".into(), "100".into(), String::new()]];
        assert_eq!(columns(2, &[Side::Left, Side::Right, Side::Left], &rows), "  a      1  x\n  bcd  100\n");
    }

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0, 99, 12_345].map(seconds), ["0.0 s", "0.0 s", "12.3 s"]);
    }
}
