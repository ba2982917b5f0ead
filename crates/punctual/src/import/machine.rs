//! What an import takes from the machine it runs on: its zone, and whether it can send mail.

use punctual_core::zone::ZoneTable;
use std::path::Path;

/// Facts of the machine that written definitions depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// The zone its cron goes by; `None` if it cannot be told.
    pub time_zone: Option<String>,
    /// Its program for outgoing mail.
    pub sendmail: Option<String>,
    /// The users of /etc/passwd.
    pub users: Vec<String>,
    /// Those whose home does not exist, as `nobody`'s: cron starts their jobs all the same.
    pub homeless: Vec<String>,
}

impl Machine {
    /// The machine this runs on. Its zone is one of `table`.
    pub fn here(table: &ZoneTable) -> Self {
        let sendmail =
            ["/usr/sbin/sendmail", "/usr/lib/sendmail"].into_iter().find(|p| Path::new(p).exists());
        let known = |name: String| Some(table.zone(&name).ok()?.name().to_owned());
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        let users: Vec<(&str, &str)> = passwd.lines().filter_map(user_and_home).collect();
        let homeless = users.iter().filter(|(_, home)| !Path::new(home).is_dir());
        Self {
            time_zone: time_zone().and_then(known),
            sendmail: sendmail.map(str::to_owned),
            homeless: homeless.map(|(user, _)| (*user).to_owned()).collect(),
            users: users.iter().map(|(user, _)| (*user).to_owned()).collect(),
        }
    }
}

fn user_and_home(line: &str) -> Option<(&str, &str)> {
    let mut fields = line.split(':');
    Some((fields.next()?, fields.nth(4)?))
}

/// The zone of /etc/localtime by the name of what it links to, else that of /etc/timezone. The variable TZ of whoever
/// imports says nothing of the zone of cron.
fn time_zone() -> Option<String> {
    let link = std::fs::read_link("/etc/localtime").ok();
    let linked = link.as_deref().and_then(Path::to_str).and_then(|path| path.split_once("zoneinfo/"));
    match linked {
        Some((_, name)) => Some(name.to_owned()),
        None => std::fs::read_to_string("/etc/timezone").ok().map(|text| text.trim().to_owned()),
    }
}
