//! Where the data is.

use std::env;
use std::path::PathBuf;

/// The data directory a command works on.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Data {
    /// Data directory [default: $PUNCTUAL_DATA, else /var/lib/punctual for root, else punctual in the XDG state directory]
    #[arg(long = "data", value_name = "DIR")]
    data: Option<PathBuf>,
}

impl Data {
    /// That directory.
    #[cfg(test)]
    pub fn at(directory: &std::path::Path) -> Self {
        Self { data: Some(directory.to_owned()) }
    }

    /// Whether a directory was named, by option or environment.
    pub fn is_given(&self) -> bool {
        self.data.is_some() || env::var_os("PUNCTUAL_DATA").is_some_and(|v| !v.is_empty())
    }

    /// What was asked for, or the default.
    pub fn directory(&self) -> PathBuf {
        let set = |name: &str| env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        self.data.clone().or_else(|| set("PUNCTUAL_DATA")).unwrap_or_else(|| {
            if rustix::process::geteuid().is_root() {
                return PathBuf::from("/var/lib/punctual");
            }
            let state = set("XDG_STATE_HOME").or_else(|| set("HOME").map(|home| home.join(".local/state")));
            state.unwrap_or_else(|| PathBuf::from(".")).join("punctual")
        })
    }
}
