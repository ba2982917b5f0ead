//! Where the effective values of a job come from, for `punctual show`.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a job's definition stands, and where each of its values comes from. Defaults stand in the job's own file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Origins {
    /// The file.
    pub file: String,
    /// The line of the job's name, from 1.
    pub line: u32,
    /// By key of the format: the origin of its value. A key that is not here has the built-in value, or none.
    pub values: BTreeMap<String, ValueOrigin>,
}

/// Where one value comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum ValueOrigin {
    /// The job itself.
    Job {
        /// Line of the key, from 1.
        line: u32,
    },
    /// The file's `defaults`.
    Defaults {
        /// Line of the key, from 1.
        line: u32,
    },
}
