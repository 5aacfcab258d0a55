//! What callers are told of their limits, in the shape of Repose's `limits` document.

use std::time::Duration;
use std::time::Instant;
use std::time::SystemTime;

use serde_json::Value;
use serde_json::json;

use crate::fleet::counter::Left;
use crate::limits::Limits;
use crate::limits::config::Limit;
use crate::limits::subject::Asker;
use crate::telemetry::timestamp;

/// Units that have a word of their own.
const UNITS: [(u64, &str); 4] = [(1, "SECOND"), (60, "MINUTE"), (3_600, "HOUR"), (86_400, "DAY")];

/// Writes the limits of a caller; `mount` is the prefix that Glance is served under.
pub fn write(limits: &Limits, asker: &Asker<'_>, mount: &str, now: Instant) -> String {
    let wall = SystemTime::now();
    let rate: Vec<Value> = limits.of(asker, now).flat_map(|(limit, left)| entries(limit, left, mount, wall)).collect();
    json!({"limits": {"rate": rate, "absolute": {}}}).to_string()
}

/// Returns one entry a route; methods and routes of one limit are counted together, and so have the same figures.
fn entries(limit: &Limit, left: Left, mount: &str, wall: SystemTime) -> Vec<Value> {
    let next = moment(wall + left.next_in);
    let row = |verb: &str| {
        json!({
            "verb": verb,
            "value": limit.requests,
            "remaining": left.remaining,
            "unit": unit(limit.per),
            "next-available": next,
        })
    };
    let rows: Vec<Value> = if limit.methods.is_empty() {
        vec![row("ALL")]
    } else {
        limit.methods.iter().map(|method| row(method.as_str())).collect()
    };
    if limit.routes.is_empty() {
        return vec![json!({"uri": "*", "regex": ".*", "limit": rows})];
    }
    let entry = |route: &&str| json!({"uri": format!("{mount}{route}"), "regex": regex(mount, route), "limit": rows});
    limit.routes.iter().map(entry).collect()
}

/// Spells a route as a regular expression over paths; ids are any segment, and every minor version is the same API.
fn regex(mount: &str, route: &str) -> String {
    let segments = route.split('/').map(|segment| match segment {
        "v2" => "v2(\\.[0-9]+)?".into(),
        _ if segment.starts_with('{') => "[^/]+".into(),
        _ => segment.replace('.', "\\."),
    });
    let path: Vec<String> = segments.collect();
    format!("^{}{}$", mount.replace('.', "\\."), path.join("/"))
}

fn unit(per: Duration) -> String {
    let known = UNITS.iter().find(|(seconds, _)| Duration::from_secs(*seconds) == per);
    known.map_or_else(|| format!("{} SECONDS", per.as_secs_f64()), |(_, unit)| (*unit).into())
}

/// Writes a moment as RFC 3339, in UTC, rounded up to the second.
pub fn moment(time: SystemTime) -> String {
    let seconds = whole_seconds(time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    timestamp::of(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
}

/// Rounds a time up to whole seconds: who waits that long is not refused for having come a moment too early.
pub fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;
    use std::time::SystemTime;

    use super::moment;
    use super::regex;
    use super::unit;
    use super::whole_seconds;

    #[test]
    fn routes_units_and_moments_are_written_as_repose_does() {
        assert_eq!(regex("/image", "/v2/images/{image_id}/file"), r"^/image/v2(\.[0-9]+)?/images/[^/]+/file$");
        assert_eq!(unit(Duration::from_mins(1)), "MINUTE");
        assert_eq!(unit(Duration::from_secs(90)), "90 SECONDS");
        let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_500);
        assert_eq!(moment(time), "1970-01-01T00:00:02Z");
        assert_eq!((whole_seconds(Duration::from_secs(2)), whole_seconds(Duration::from_millis(2_001))), (2, 3));
    }
}
