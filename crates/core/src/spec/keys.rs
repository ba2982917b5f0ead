//! How the format is described: shapes and their keys. The table itself is [`super::table`].

/// A mapping of the format: what it is called and which keys it has.
pub struct Shape {
    /// Its name, in schema and reference.
    pub name: &'static str,
    /// What it is, in a sentence.
    pub about: &'static str,
    /// Its keys, in the order of the reference.
    pub(crate) keys: &'static [Key],
    /// Whether it has only those of its keys that are shared.
    pub(crate) only_shared: bool,
    /// Whether further keys are names of the user's (`resources: {db: 1}`), and what they hold.
    pub others: Option<&'static Kind>,
}

/// A key of a [`Shape`].
pub struct Key {
    /// Its name.
    pub name: &'static str,
    /// Other names it goes by.
    pub aliases: &'static [&'static str],
    /// What it holds.
    pub kind: &'static Kind,
    /// What it does, in a sentence or two.
    pub about: &'static str,
    /// What holds if it is absent, as text.
    pub default: Option<&'static str>,
    /// Whether `defaults:` may give it.
    pub shared: bool,
}

/// What a key holds.
pub enum Kind {
    /// A text.
    Text,
    /// A name: letters, digits, `-`, `_`, `.`.
    Name,
    /// `true` or `false`.
    Bool,
    /// A whole number between two bounds.
    Integer(i64, i64),
    /// A length of time.
    Duration,
    /// A length of time, or a whole number of seconds.
    Seconds,
    /// Processors, as a Kubernetes quantity.
    Cpu,
    /// Bytes, as a Kubernetes quantity.
    Bytes,
    /// One word of a set.
    Word(fn() -> Vec<&'static str>),
    /// A zone of the IANA table.
    Zone,
    /// A cron rule.
    Cron,
    /// An instant.
    Instant,
    /// A list of one kind.
    List(&'static Kind),
    /// A mapping from the user's names to one kind.
    Names(&'static Kind),
    /// A mapping with known keys.
    Object(fn() -> &'static Shape),
    /// One of several kinds.
    Any(&'static [&'static Kind]),
    /// Anything; an executor of a later release reads it.
    Free,
}

impl Shape {
    /// Its keys, in the order of the reference.
    pub fn keys(&self) -> impl Iterator<Item = &'static Key> + use<> {
        let only_shared = self.only_shared;
        self.keys.iter().filter(move |key| key.shared || !only_shared)
    }

    /// The key of this name or alias.
    pub fn find(&self, name: &str) -> Option<&'static Key> {
        self.keys().find(|key| key.name == name || key.aliases.contains(&name))
    }
}

impl Key {
    pub(crate) const fn new(name: &'static str, kind: &'static Kind, about: &'static str) -> Self {
        Self { name, aliases: &[], kind, about, default: None, shared: false }
    }

    /// The same key with what holds if it is absent.
    pub(crate) const fn or(self, default: &'static str) -> Self {
        Self { default: Some(default), ..self }
    }

    /// The same key with further names.
    pub(crate) const fn also(self, aliases: &'static [&'static str]) -> Self {
        Self { aliases, ..self }
    }

    /// The same key, allowed in `defaults:` too.
    pub(crate) const fn shared(self) -> Self {
        Self { shared: true, ..self }
    }
}
