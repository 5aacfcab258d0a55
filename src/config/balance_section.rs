//! The keys of `[upstream]` and `[limits]` that say which upstream gets a request, and when load is shed.

use crate::client::endpoint::Room;
use crate::config::reader::Section;
use crate::config::sections::positive;
use crate::upstream::adaptive::Bounds;
use crate::upstream::breaker;
use crate::upstream::retry;
use crate::upstream::rules::AllOpen;
use crate::upstream::rules::Rules;
use crate::upstream::select::Strategy;
use crate::upstream::shed;
use crate::upstream::shed::Adaptive;

/// Reads how an upstream is chosen, and which is left out.
pub fn rules(section: &mut Section<'_, '_>) -> Rules {
    let default = Rules::default();
    let words = [
        ("least_in_flight", Strategy::LeastInFlight),
        ("round_robin", Strategy::RoundRobin),
        ("consistent_hash", Strategy::ConsistentHash),
    ];
    let strategy = section.choose("balance", default.strategy, &words);
    let words = [("try", AllOpen::Try), ("refuse", AllOpen::Refuse)];
    let all_open = section.choose("all_open", default.all_open, &words);
    Rules {
        strategy,
        max_in_flight: section.get("max_in_flight", default.max_in_flight),
        slow_start: section.get("slow_start", default.slow_start),
        breaker: breaker(section),
        all_open,
        retry: retry::Rules {
            percent: percent(section, "retry_percent", default.retry.percent),
            per_second: section.get("retries_per_second", default.retry.per_second),
        },
        shed: default.shed,
    }
}

fn breaker(section: &mut Section<'_, '_>) -> breaker::Rules {
    let default = breaker::Rules::default();
    let rules = breaker::Rules {
        failures: section.get("breaker_failures", default.failures),
        failure_percent: percent(section, "breaker_failure_percent", default.failure_percent),
        window: positive(section, "breaker_window", default.window),
        window_requests: section.get("breaker_window_requests", default.window_requests),
        given_up_after: section.get("breaker_given_up_after", default.given_up_after),
        open_time: positive(section, "breaker_open_time", default.open_time),
        max_open_time: positive(section, "breaker_max_open_time", default.max_open_time),
    };
    if rules.max_open_time < rules.open_time {
        section.mistake("breaker_max_open_time", "less than breaker_open_time", "at least as long");
    }
    if rules.window_requests == 0 {
        section.mistake("breaker_window_requests", "one failure would be all of them", "at least 1");
    }
    rules
}

/// Reads how many connections an upstream may have.
pub fn room(section: &mut Section<'_, '_>, default: Room) -> Room {
    let bound = match default {
        Room::UpTo(bound) => bound,
        Room::Uncounted => 0,
    };
    Room::UpTo(section.get("max_connections", bound))
}

/// Reads between which numbers the adaptive limit stays.
pub fn shed(section: &mut Section<'_, '_>) -> shed::Config {
    let default = shed::Config::default();
    let words = [("off", Adaptive::Off), ("on", Adaptive::On)];
    let config = shed::Config {
        adaptive: section.choose("adaptive", default.adaptive, &words),
        bounds: Bounds {
            min: section.get("adaptive_min", default.bounds.min),
            max: section.get("adaptive_max", default.bounds.max),
        },
    };
    if config.bounds.min == 0 {
        section.mistake("adaptive_min", "nobody might be served", "at least 1");
    }
    if config.bounds.max < config.bounds.min {
        section.mistake("adaptive_max", "less than adaptive_min", "at least as many");
    }
    config
}

fn percent(section: &mut Section<'_, '_>, key: &'static str, default: u32) -> u32 {
    let percent = section.get(key, default);
    if percent > 100 {
        section.mistake(key, "more than all", "0 to 100");
    }
    percent
}

#[cfg(test)]
mod tests {
    use crate::config::load::parse;

    #[test]
    fn what_makes_no_sense_is_a_mistake() {
        let text = "[upstream]\nbalance = \"random\"\nall_open = \"wait\"\nbreaker_failure_percent = 101\n\
                    breaker_window_requests = 0\nbreaker_open_time = \"2s\"\nbreaker_max_open_time = \"1s\"\n\
                    retry_percent = 200\n[limits]\nadaptive = \"maybe\"\nadaptive_min = 0\nadaptive_max = 0\n";
        let mistakes = parse("gate.toml", text, &[]).err().unwrap_or_default();
        let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
        for line in [2, 3, 4, 5, 7, 8, 10, 11] {
            assert!(
                told.iter().any(|told| told.starts_with(&format!("gate.toml:{line}: "))),
                "{line} not in {told:#?}"
            );
        }
        let text = "[limits]\nadaptive_min = 9\nadaptive_max = 8\n";
        let mistakes = parse("gate.toml", text, &[]).err().unwrap_or_default();
        assert!(mistakes.iter().any(|mistake| mistake.key.ends_with("adaptive_max")), "{mistakes:?}");
    }
}
