//! The gate's own metrics, read from their text: one way to every counter, and no cost where it is counted.
//!
//! The format is `OpenMetrics` 1.0, of which the gate writes samples with labels and without timestamps.

/// All samples at one moment.
#[derive(Clone, Debug, Default)]
pub struct Reading {
    samples: Vec<Sample>,
}

/// One line: a name, labels, a value.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    name: String,
    labels: Vec<(String, String)>,
    /// The value.
    pub value: f64,
}

/// What the names of all metrics start with.
const PREFIX: &str = "glance_gate_";

impl Reading {
    /// Reads what [`crate::telemetry::metrics::Metrics::encode`] has written; a line that is no sample is left out.
    pub fn of(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Self { samples: lines.filter_map(sample).collect() }
    }

    /// Returns the samples of a metric, whose name is given without the gate's prefix.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| sample.name == name)
    }

    /// Returns the samples of all metrics whose names begin like this.
    pub fn beginning<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Sample> {
        self.samples.iter().filter(move |sample| sample.name.starts_with(name))
    }

    /// Returns the sum of a metric's samples that have this label.
    pub fn sum(&self, name: &str, label: &str, value: &str) -> u64 {
        self.all(name).filter(|sample| sample.label(label) == value).map(Sample::count).sum()
    }

    /// Returns the value of a metric without labels.
    pub fn gauge(&self, name: &str) -> u64 {
        self.all(name).map(Sample::count).sum()
    }
}

impl Sample {
    /// Returns the metric's name, without the gate's prefix.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns all labels.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &str)> {
        self.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Returns the value of a label; empty if there is none.
    pub fn label(&self, name: &str) -> &str {
        self.labels.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// Returns the value as a count.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole, and below 2^53")]
    pub fn count(&self) -> u64 {
        self.value.max(0.0) as u64
    }
}

fn sample(line: &str) -> Option<Sample> {
    let line = line.strip_prefix(PREFIX)?;
    let end = line.find(['{', ' '])?;
    let (name, rest) = line.split_at_checked(end)?;
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (Vec::new(), rest),
    };
    let value = rest.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Sample { name: name.to_owned(), labels, value })
}

/// Reads `name="value",…}` and returns what stands behind it.
fn labels(mut rest: &str) -> Option<(Vec<(String, String)>, &str)> {
    let mut labels = Vec::new();
    loop {
        rest = rest.trim_start_matches(',');
        if let Some(rest) = rest.strip_prefix('}') {
            return Some((labels, rest));
        }
        let (name, quoted) = rest.split_once("=\"")?;
        let (value, behind) = unquoted(quoted)?;
        labels.push((name.to_owned(), value));
        rest = behind;
    }
}

/// Reads up to the closing quote, and undoes the escapes.
fn unquoted(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                escaped => value.push(escaped),
            },
            plain => value.push(plain),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Reading;
    use super::sample;
    use crate::telemetry::metrics::Metrics;
    use crate::telemetry::metrics::RequestLabels;

    #[test]
    fn every_sample_that_the_gate_writes_is_read() {
        let metrics = Metrics::default();
        metrics.in_flight.set(3);
        metrics.neighbour("http://a \"b\"\\c\nd", "ok");
        let labels = RequestLabels { branch: "passthrough", verdict: "passed_through", code: 200 };
        for _ in 0..7 {
            metrics.request(&labels, Duration::from_millis(2));
        }
        let text = metrics.encode();
        let reading = Reading::of(&text);
        assert_eq!(reading.samples.len(), text.lines().filter(|line| !line.starts_with('#')).count());
        assert_eq!(reading.gauge("in_flight_requests"), 3);
        assert_eq!(reading.sum("requests_total", "branch", "passthrough"), 7);
        assert_eq!(reading.sum("request_duration_seconds_bucket", "le", "+Inf"), 7);
        assert_eq!(reading.sum("request_duration_seconds_bucket", "le", "0.001"), 0);
        let neighbour = reading.all("neighbour_requests_total").next().expect("a neighbour");
        assert_eq!((neighbour.label("neighbour"), neighbour.label("outcome")), ("http://a \"b\"\\c\nd", "ok"));
    }

    #[test]
    fn what_is_no_sample_is_left_out() {
        for line in ["", "glance_gate_x", "glance_gate_x{a=\"b} 1", "glance_gate_x{a=\"b\"} one", "other_x 1"] {
            assert_eq!(sample(line), None, "{line}");
        }
    }
}
