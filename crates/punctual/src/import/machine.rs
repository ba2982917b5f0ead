//! What an import takes from the machine it runs on: its zone, and whether it can send mail.

use std::path::Path;

/// Facts of the machine that written definitions depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The zone its cron goes by; `None` if it cannot be told.
    pub time_zone: Option<String>,
    /// Its program for outgoing mail.
    pub sendmail: Option<String>,
}

impl Machine {
    /// The machine this runs on.
    pub fn here() -> Self {
        let sendmail =
            ["/usr/sbin/sendmail", "/usr/lib/sendmail"].into_iter().find(|p| Path::new(p).exists());
        Self { time_zone: time_zone(), sendmail: sendmail.map(str::to_owned) }
    }
}

/// The zone of /etc/localtime by the name of what it links to, else that of /etc/timezone.
fn time_zone() -> Option<String> {
    let link = std::fs::read_link("/etc/localtime").ok();
    let linked = link.as_deref().and_then(Path::to_str).and_then(|path| path.split_once("zoneinfo/"));
    match linked {
        Some((_, name)) => Some(name.to_owned()),
        None => std::fs::read_to_string("/etc/timezone").ok().map(|text| text.trim().to_owned()),
    }
    .filter(|name| !name.is_empty())
}
