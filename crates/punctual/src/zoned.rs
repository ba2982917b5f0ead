//! A job's rule in words, and its instants on its own clock.

use crate::when::utc;
use punctual_core::spec::{JobSpec, RuleSpec};
use punctual_core::time::Timestamp;
use punctual_core::zone::{Zone, ZoneTable, offset_name};
use punctual_engine::view::rule_text;
use punctual_server::dto::JobDto;
use std::sync::Arc;

/// What is known of a job's rules and clock.
pub struct Rules {
    /// Its rules, such as `0 2 * * * (Asia/Shanghai)`, joined by `; `.
    pub text: String,
    /// The zone of its first cron rule; UTC if it has none.
    pub zone: Arc<Zone>,
}

impl Rules {
    /// Those of a job as it was sent; a definition that this program cannot read has none, on the clock of UTC.
    pub fn of(job: &JobDto, zones: &ZoneTable) -> Self {
        let triggers = JobSpec::from_json(&job.definition).map(|spec| spec.triggers).unwrap_or_default();
        let text: Vec<String> = triggers.iter().map(|trigger| rule_text(&trigger.rule)).collect();
        let named = triggers.iter().find_map(|trigger| match &trigger.rule {
            RuleSpec::Cron { time_zone, .. } => zones.zone(time_zone).ok(),
            _ => None,
        });
        Self { text: text.join("; "), zone: named.unwrap_or_else(Zone::utc) }
    }

    /// Whether its clock is that of UTC, whatever the zone is called.
    pub fn is_utc(&self) -> bool {
        self.zone.spans().iter().all(|span| span.offset == 0)
    }

    /// An instant on the job's clock: `2026-11-24 17:00:00+08:00`, in UTC `2026-11-24 09:00:00Z`.
    pub fn clock(&self, at: Timestamp) -> String {
        if self.is_utc() {
            return utc(at);
        }
        let local = utc(Timestamp::from_secs(self.zone.local(at)));
        format!("{}{}", local.trim_end_matches('Z'), offset_name(self.zone.offset_at(at.as_secs())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::examples::{NOW, job};

    #[test]
    fn a_job_has_the_clock_of_its_first_cron_rule() {
        let rules = Rules::of(&job(), &ZoneTable::bundled());
        assert_eq!(rules.clock(NOW), "2026-11-24 17:00:00+08:00");
        assert!(rules.text.contains("0 2 * * *"), "{}", rules.text);
        let unknown =
            Rules::of(&JobDto { definition: serde_json::json!({}), ..job() }, &ZoneTable::bundled());
        assert_eq!((unknown.clock(NOW).as_str(), unknown.text.as_str()), ("2026-11-24 09:00:00Z", ""));
    }
}
