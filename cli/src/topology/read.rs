//! Walks the tree by the table of keys: every unknown key, duplicate and wrong value becomes a problem, and what is
//! left is a [`Section`] with typed values.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use super::container::{ULIMITS, Ulimit};
use super::duration::{decimal, parse_duration, parse_size};
use super::endpoint::Endpoint;
use super::interpolate::{InterpolationError, interpolate};
use super::keys::{Shape, Table};
use super::model::Subnet;
use super::report::{Report, nearest};
use super::tree::{Node, Span, Value};

/// A mapping of the file by its table.
#[derive(Debug, Default)]
pub(super) struct Section {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    key: &'static str,
    key_span: Span,
    value_span: Span,
    value: Typed,
}

/// A name given by the user, and its place.
#[derive(Clone, Debug)]
pub(super) struct Named<T> {
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) value: T,
}

/// A value as its key wants it.
#[derive(Debug)]
pub(super) enum Typed {
    Text(String),
    Bool(bool),
    Port(u16),
    Duration(Duration),
    Size(u64),
    Cpus(u64),
    Priority(u16),
    Number(u32),
    Word(&'static str),
    Ip(IpAddr),
    Ipv4(Ipv4Addr),
    Subnet(Subnet),
    Endpoint(Endpoint),
    Scalars(Vec<Named<String>>),
    Texts(Vec<(String, Span)>),
    Limits(Vec<Named<Ulimit>>),
    /// With whether it stands in the file itself.
    Secret(String, bool),
    Section(Section),
    /// Whether all of them are there: one without a usable name is lost.
    Named(Vec<Named<Section>>, bool),
    /// The problem is in the report: nothing more is to be said about it.
    Bad,
}

/// Gives a section a getter for one type of value.
macro_rules! getters {
    ($($name:ident: $variant:ident -> $type:ty),+ $(,)?) => {
        $(pub(super) fn $name(&self, key: &str) -> Option<$type> {
            match self.value(key) {
                Some(Typed::$variant(value)) => Some(value.clone()),
                _ => None,
            }
        })+
    };
}

impl Section {
    /// Nothing at all.
    pub(super) const EMPTY: Section = Section { entries: Vec::new() };

    getters! {
        text: Text -> String, flag: Bool -> bool, port: Port -> u16, duration: Duration -> Duration,
        size: Size -> u64, cpus: Cpus -> u64, priority: Priority -> u16, number: Number -> u32, word: Word -> &'static str, ip: Ip -> IpAddr,
        ipv4: Ipv4 -> Ipv4Addr, subnet: Subnet -> Subnet, endpoint: Endpoint -> Endpoint,
    }

    fn entry(&self, key: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.key == key)
    }

    fn value(&self, key: &str) -> Option<&Typed> {
        self.entry(key).map(|entry| &entry.value)
    }

    /// Returns whether the key stands there, with a good value or a bad one.
    pub(super) fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// Returns whether the key stands there with a value that is already in the report.
    pub(super) fn is_bad(&self, key: &str) -> bool {
        matches!(self.value(key), Some(Typed::Bad))
    }

    /// Returns the place of the value.
    pub(super) fn span(&self, key: &str) -> Option<Span> {
        self.entry(key).map(|entry| entry.value_span)
    }

    /// Returns the place of the key.
    pub(super) fn key_span(&self, key: &str) -> Option<Span> {
        self.entry(key).map(|entry| entry.key_span)
    }

    pub(super) fn section(&self, key: &str) -> Option<&Section> {
        match self.value(key) {
            Some(Typed::Section(section)) => Some(section),
            _ => None,
        }
    }

    pub(super) fn scalars(&self, key: &str) -> &[Named<String>] {
        match self.value(key) {
            Some(Typed::Scalars(scalars)) => scalars,
            _ => &[],
        }
    }

    pub(super) fn texts(&self, key: &str) -> &[(String, Span)] {
        match self.value(key) {
            Some(Typed::Texts(texts)) => texts,
            _ => &[],
        }
    }

    /// Returns a secret, and whether it stands in the file itself and not in a variable.
    pub(super) fn secret(&self, key: &str) -> Option<(String, bool)> {
        match self.value(key) {
            Some(Typed::Secret(text, is_written)) => Some((text.clone(), *is_written)),
            _ => None,
        }
    }

    /// Returns the place of its first key.
    pub(super) fn first_span(&self) -> Span {
        self.entries.first().map(|entry| entry.key_span).unwrap_or_default()
    }

    pub(super) fn limits(&self, key: &str) -> &[Named<Ulimit>] {
        match self.value(key) {
            Some(Typed::Limits(limits)) => limits,
            _ => &[],
        }
    }

    pub(super) fn named(&self, key: &str) -> &[Named<Section>] {
        match self.value(key) {
            Some(Typed::Named(named, _)) => named,
            _ => &[],
        }
    }

    /// Returns whether the key has every entry that the file gives it.
    pub(super) fn is_complete(&self, key: &str) -> bool {
        matches!(self.value(key), Some(Typed::Named(_, true)))
    }
}

/// Stands for a port that an endpoint does not name; no port has this number.
pub(super) const UNNAMED_PORT: u16 = 0;

/// Reads sections and reports what is wrong with them.
pub(super) struct Reader<'r, 'a> {
    pub(super) report: &'r mut Report<'a>,
    pub(super) variable: &'r dyn Fn(&str) -> Option<String>,
}

impl Reader<'_, '_> {
    /// Reads a mapping. `path` names it for people, empty for the file as a whole.
    pub(super) fn section(&mut self, entries: &[(Node, Node)], table: &'static Table, path: &str) -> Section {
        let mut section = Section::default();
        let mut ignored: Vec<(&str, Span)> = Vec::new();
        for (key, node) in entries {
            let Some(name) = key.value.scalar() else {
                self.report.error(
                    "MG004",
                    key.span,
                    format!("a key must be a text, got {}", key.value.kind()),
                );
                continue;
            };
            if name.starts_with("x-") {
                if let Some((_, first)) = ignored.iter().find(|(other, _)| *other == name) {
                    self.twice(&format!("key `{name}`"), *first, key.span);
                }
                ignored.push((name, key.span));
                continue;
            }
            let Some(known) = table.get(name) else {
                self.unknown(name, key.span, table, path);
                continue;
            };
            let value = self.value(node, known.shape, &join(path, name));
            if let Some(first) = section.entry(name).map(|entry| entry.key_span) {
                self.twice(&format!("key `{}`", join(path, name)), first, key.span);
                continue;
            }
            section.entries.push(Entry { key: known.name, key_span: key.span, value_span: node.span, value });
        }
        section
    }

    fn twice(&mut self, what: &str, first: Span, second: Span) {
        let (a, b) = (first.line.min(second.line), first.line.max(second.line));
        let lines = if a == b { format!("twice in line {a}") } else { format!("twice (lines {a} and {b})") };
        self.report
            .error("MG005", second, format!("{what} is defined {lines}"))
            .help
            .push("keep one of them".into());
        self.report.also(first);
    }

    fn unknown(&mut self, name: &str, span: Span, table: &Table, path: &str) {
        let place = if path.is_empty() { "the file".to_owned() } else { format!("`{path}`") };
        if table.later.contains(&name) {
            self.report
                .error(
                    "MG009",
                    span,
                    format!("`{}` is not served by this version of mgctl", join(path, name)),
                )
                .help
                .push(format!("remove it, or rename it to `x-{name}` to keep it as a note"));
            return;
        }
        let mut keys: Vec<&str> = table.keys.iter().map(|key| key.name).collect();
        let meant = nearest(name, keys.iter().copied());
        keys.sort_unstable();
        let problem = self.report.error("MG004", span, format!("unknown key `{name}` in {place}"));
        if let Some(meant) = meant {
            problem.help.push(format!("did you mean `{meant}`?"));
        }
        problem.help.push(format!("keys here: {}; private keys start with `x-`", keys.join(", ")));
    }

    fn value(&mut self, node: &Node, shape: Shape, path: &str) -> Typed {
        match (shape, &node.value) {
            (_, Value::Null) => {
                self.report
                    .error("MG006", node.span, format!("`{path}` has no value"))
                    .help
                    .push("give it one, or remove the key".into());
                Typed::Bad
            }
            (Shape::Map(table), Value::Map(entries)) => Typed::Section(self.section(entries, table, path)),
            (Shape::Scalars, Value::Map(entries)) => Typed::Scalars(self.scalars(entries, path)),
            (Shape::Named(table), Value::Map(entries)) => self.named(entries, table, path),
            (Shape::Named(table), Value::List(items)) => self.listed(items, table, path),
            (Shape::Texts, Value::List(items)) => Typed::Texts(self.texts(items, path)),
            (Shape::Texts, _) => match self.scalar(node, path, "a text or a list of texts") {
                Some(text) => Typed::Texts(vec![(text, node.span)]),
                None => Typed::Bad,
            },
            (Shape::Limits, Value::Map(entries)) => Typed::Limits(self.limits(entries, path)),
            (Shape::Map(_) | Shape::Scalars | Shape::Limits, value) => {
                self.wrong(node, path, "a mapping", value)
            }
            (Shape::Named(_), value) => self.wrong(node, path, "a mapping of names", value),
            (_, _) => self.leaf(node, shape, path),
        }
    }

    fn wrong(&mut self, node: &Node, path: &str, wanted: &str, value: &Value) -> Typed {
        let got = match value.scalar() {
            Some(text) => format!("`{}`", short(text)),
            None => value.kind().to_owned(),
        };
        self.report.error("MG006", node.span, format!("`{path}` must be {wanted}, got {got}"));
        Typed::Bad
    }

    /// Returns the text of a scalar with its variables put in.
    fn scalar(&mut self, node: &Node, path: &str, wanted: &str) -> Option<String> {
        let Some(text) = node.value.scalar() else {
            self.wrong(node, path, wanted, &node.value);
            return None;
        };
        let error = match interpolate(text, self.variable) {
            Ok(text) => return Some(text),
            Err(error) => error,
        };
        let (what, help) = match error {
            InterpolationError::Unset(name) => (
                format!("`${{{name}}}` is not set"),
                format!("set it: `{name}=... mgctl ...`, or give a default: `${{{name}:-default}}`"),
            ),
            InterpolationError::Required { name, text } if text.is_empty() => {
                (format!("`{name}` is not set"), format!("set it: `{name}=... mgctl ...`"))
            }
            InterpolationError::Required { name, text } => {
                (format!("{text} (`{name}` is not set)"), format!("set it: `{name}=... mgctl ...`"))
            }
            InterpolationError::Open => {
                ("`${` has no closing brace".to_owned(), "for a dollar sign itself write `$$`".to_owned())
            }
            InterpolationError::Malformed(inside) => (
                format!("`${{{}}}` is not a variable", short(&inside)),
                "write `${NAME}`, `${NAME:-default}` or `${NAME:?text}`; for a dollar sign itself `$$`"
                    .to_owned(),
            ),
        };
        self.report.error("MG007", node.span, what).help.push(help);
        None
    }

    fn leaf(&mut self, node: &Node, shape: Shape, path: &str) -> Typed {
        let (wanted, example) = describe(shape);
        let Some(text) = self.scalar(node, path, &wanted) else { return Typed::Bad };
        let typed = match shape {
            Shape::Text => Some(Typed::Text(text.clone())),
            Shape::Secret => {
                let is_written = node.value.scalar().is_some_and(|written| !written.contains("${"));
                Some(Typed::Secret(text.clone(), is_written))
            }
            Shape::Bool => match text.as_str() {
                "true" => Some(Typed::Bool(true)),
                "false" => Some(Typed::Bool(false)),
                _ => None,
            },
            Shape::Port => return self.port(node, &text, path),
            Shape::Duration => parse_duration(&text).map(Typed::Duration),
            Shape::Size => return self.size(node, &text, path),
            Shape::Cpus => decimal(&text, 1_000_000_000).filter(|n| *n >= 10_000_000).map(Typed::Cpus),
            Shape::Priority => text.parse().ok().filter(|n| *n <= 1000).map(Typed::Priority),
            Shape::Number(least, most) => {
                text.parse().ok().filter(|n| (least..=most).contains(n)).map(Typed::Number)
            }
            Shape::Words(words) => return self.word(node, &text, words, path),
            Shape::Ip => text.parse().ok().map(Typed::Ip),
            Shape::Ipv4 => text.parse().ok().map(Typed::Ipv4),
            Shape::Subnet => return self.subnet(node, &text, path),
            Shape::Endpoint => Endpoint::parse(&text, UNNAMED_PORT).map(Typed::Endpoint),
            Shape::Scalars | Shape::Texts | Shape::Limits | Shape::Map(_) | Shape::Named(_) => None,
        };
        typed.unwrap_or_else(|| {
            let problem = self.report.error(
                "MG006",
                node.span,
                format!("`{path}` must be {wanted}, got `{}`", short(&text)),
            );
            if !example.is_empty() {
                problem.help.push(format!("for example `{example}`"));
            }
            Typed::Bad
        })
    }

    fn port(&mut self, node: &Node, text: &str, path: &str) -> Typed {
        let quoted = matches!(&node.value, Value::Text(written) if !written.contains('$'));
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let zero = text.len() > 1 && text.starts_with('0');
        match text.parse::<u16>() {
            Ok(port) if port > 0 && digits && !zero && !quoted => Typed::Port(port),
            parsed => {
                let code = if digits && !zero && !quoted && path.ends_with("replication_port") {
                    "MG017"
                } else {
                    "MG006"
                };
                let shown = if quoted && digits { format!("\"{text}\"") } else { short(text) };
                let what = format!("`{path}` must be a number from 1 to 65535, got `{shown}`");
                let problem = self.report.error(code, node.span, what);
                if quoted && digits && parsed.is_ok() && !zero {
                    problem.help.push(format!("remove the quotes: `{text}`"));
                } else if digits && zero && text.trim_start_matches('0').parse::<u16>().is_ok() {
                    problem
                        .help
                        .push(format!("write it without leading zeros: `{}`", text.trim_start_matches('0')));
                }
                Typed::Bad
            }
        }
    }

    fn size(&mut self, node: &Node, text: &str, path: &str) -> Typed {
        match parse_size(text) {
            Some(bytes) if bytes > 0 => Typed::Size(bytes),
            _ => {
                self.report
                    .error("MG022", node.span, format!("`{path}`: unknown size `{}`", short(text)))
                    .help
                    .push("a number and a unit: `512MiB`, `1GiB` or `2g`".into());
                Typed::Bad
            }
        }
    }

    fn word(&mut self, node: &Node, text: &str, words: &'static [&'static str], path: &str) -> Typed {
        if let Some(word) = words.iter().find(|word| word.eq_ignore_ascii_case(text)) {
            return Typed::Word(word);
        }
        let name = path.rsplit('.').next().unwrap_or(path);
        let code = if name == "mode" { "MG014" } else { "MG006" };
        if name == "restart" && text == "no" {
            let what = "`restart: no` is how mgctl marks a node that a failover has ended";
            self.report.error("MG038", node.span, what).help.push(
                "use on-failure, always or unless-stopped; `mgctl stop` keeps nodes from starting".into(),
            );
            return Typed::Bad;
        }
        let (last, rest) = words.split_last().expect("a key with words has some");
        let choice = format!("{} or {last}", rest.join(", "));
        let problem = self.report.error(code, node.span, format!("unknown {name} `{}`", short(text)));
        match nearest(text, words.iter().copied()) {
            Some(meant) => problem.help.push(format!("{choice} — did you mean `{meant}`?")),
            None => problem.help.push(choice),
        }
        Typed::Bad
    }

    fn subnet(&mut self, node: &Node, text: &str, path: &str) -> Typed {
        if let Some(subnet) = Subnet::parse(text) {
            return Typed::Subnet(subnet);
        }
        let what = format!("`{path}` must be an IPv4 range, got `{}`", short(text));
        let problem = self.report.error("MG020", node.span, what);
        let parts = text.split_once('/').and_then(|(ip, bits)| {
            Some((ip.parse::<Ipv4Addr>().ok()?, bits.parse::<u8>().ok().filter(|bits| *bits <= 32)?))
        });
        let trimmed = parts.and_then(|(ip, bits)| {
            let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
            Subnet::new(Ipv4Addr::from(u32::from(ip) & mask), bits)
        });
        problem.help.push(match (trimmed, parts) {
            (Some(subnet), _) => format!("the address has bits beyond /{}: write `{subnet}`", subnet.bits()),
            (None, Some(_)) => "use a length from /8 to /29, as `172.28.37.0/24`".into(),
            (None, None) => "for example `172.28.37.0/24`".into(),
        });
        Typed::Bad
    }

    fn scalars(&mut self, entries: &[(Node, Node)], path: &str) -> Vec<Named<String>> {
        let mut scalars: Vec<Named<String>> = Vec::new();
        for (key, node) in entries {
            let Some(name) = key.value.scalar() else {
                self.report.error(
                    "MG004",
                    key.span,
                    format!("a key must be a text, got {}", key.value.kind()),
                );
                continue;
            };
            let path = join(path, name);
            if let Some(first) = scalars.iter().find(|s| s.name == name).map(|s| s.span) {
                self.twice(&format!("key `{path}`"), first, key.span);
                continue;
            }
            if node.value == Value::Null {
                self.value(node, Shape::Text, &path);
            } else if let Some(value) = self.scalar(node, &path, "a text, a number or a boolean") {
                scalars.push(Named { name: name.to_owned(), span: key.span, value });
            }
        }
        scalars
    }

    /// Reads limits of the system: `nofile: 65536`, or `nofile: { soft: 1024, hard: 65536 }`; -1 is no limit.
    fn limits(&mut self, entries: &[(Node, Node)], path: &str) -> Vec<Named<Ulimit>> {
        let mut limits: Vec<Named<Ulimit>> = Vec::new();
        for (key, node) in entries {
            let name = key.value.scalar().unwrap_or_default().to_owned();
            if name.starts_with("x-") {
                continue;
            }
            if !ULIMITS.contains(&name.as_str()) {
                self.not_a_limit(&name, key.span);
                continue;
            }
            let path = join(path, &name);
            if let Some(first) = limits.iter().find(|l| l.name == name).map(|l| l.span) {
                self.twice(&format!("key `{path}`"), first, key.span);
                continue;
            }
            if let Some(value) = self.limit(node, &path) {
                limits.push(Named { name, span: key.span, value });
            }
        }
        limits
    }

    fn not_a_limit(&mut self, name: &str, span: Span) {
        let problem =
            self.report.error("MG038", span, format!("`{}` is no limit of the system", short(name)));
        if let Some(meant) = nearest(name, ULIMITS) {
            problem.help.push(format!("did you mean `{meant}`?"));
        }
        problem.help.push(format!("limits: {}", ULIMITS.join(", ")));
    }

    fn limit(&mut self, node: &Node, path: &str) -> Option<Ulimit> {
        const WANTED: &str = "a number, or `{ soft: 1024, hard: 65536 }`; -1 is no limit";
        if node.value == Value::Null {
            self.value(node, Shape::Text, path);
            return None;
        }
        let mut number = |node: &Node| {
            let text = self.scalar(node, path, WANTED)?;
            let value = text.parse::<i64>().ok().filter(|n| *n >= -1);
            if value.is_none() {
                let what = format!("`{path}` must be {WANTED}, got `{}`", short(&text));
                self.report.error("MG006", node.span, what);
            }
            value
        };
        let Value::Map(entries) = &node.value else {
            return number(node).map(|n| Ulimit { soft: n, hard: n });
        };
        let of = |name: &str| entries.iter().find(|(key, _)| key.value.scalar() == Some(name));
        let (Some((_, soft)), Some((_, hard)), 2) = (of("soft"), of("hard"), entries.len()) else {
            self.report.error("MG006", node.span, format!("`{path}` must be {WANTED}"));
            return None;
        };
        let limit = Ulimit { soft: number(soft)?, hard: number(hard)? };
        let is_above = |a: i64, b: i64| b != -1 && (a == -1 || a > b);
        if is_above(limit.soft, limit.hard) {
            let what = format!("`{path}`: the soft limit is above the hard one");
            self.report
                .error("MG038", soft.span, what)
                .help
                .push("a soft limit is at most the hard one".into());
            return None;
        }
        Some(limit)
    }

    fn texts(&mut self, items: &[Node], path: &str) -> Vec<(String, Span)> {
        let mut texts = Vec::new();
        for item in items {
            if item.value == Value::Null {
                self.value(item, Shape::Text, path);
            } else if let Some(text) = self.scalar(item, path, "a list of texts") {
                texts.push((text, item.span));
            }
        }
        texts
    }

    fn named(&mut self, entries: &[(Node, Node)], table: &'static Table, path: &str) -> Typed {
        let mut named: Vec<Named<Section>> = Vec::new();
        let mut complete = true;
        for (key, node) in entries {
            let Some(name) = key.value.scalar() else {
                complete = false;
                let what = format!("the name of an instance must be a text, got {}", key.value.kind());
                self.report.error("MG015", key.span, what);
                continue;
            };
            self.instance(name, key.span, node, table, path, &mut named);
        }
        Typed::Named(named, complete)
    }

    /// Reads the other form: a list of mappings with `name`.
    fn listed(&mut self, items: &[Node], table: &'static Table, path: &str) -> Typed {
        let mut named: Vec<Named<Section>> = Vec::new();
        let mut complete = true;
        for item in items {
            let Value::Map(entries) = &item.value else {
                complete = false;
                self.wrong(item, path, "a list of mappings with `name`", &item.value);
                continue;
            };
            let names: Vec<&(Node, Node)> =
                entries.iter().filter(|(key, _)| key.value.scalar() == Some("name")).collect();
            let Some((key, name)) = names.first() else {
                complete = false;
                let span = entries.first().map_or(item.span, |(key, _)| key.span);
                self.report
                    .error("MG015", span, format!("an entry of `{path}` has no `name`"))
                    .help
                    .push("for example `- name: r1`".into());
                continue;
            };
            if let Some((second, _)) = names.get(1) {
                self.twice("key `name`", key.span, second.span);
            }
            let Some(text) = name.value.scalar() else {
                complete = false;
                self.wrong(name, &join(path, "name"), "a text", &name.value);
                continue;
            };
            let rest: Vec<(Node, Node)> =
                entries.iter().filter(|(key, _)| key.value.scalar() != Some("name")).cloned().collect();
            let node = Node { value: Value::Map(rest), span: item.span };
            self.instance(text, name.span, &node, table, path, &mut named);
        }
        Typed::Named(named, complete)
    }

    fn instance(
        &mut self,
        name: &str,
        span: Span,
        node: &Node,
        table: &'static Table,
        path: &str,
        named: &mut Vec<Named<Section>>,
    ) {
        let path = join(path, name);
        let value = match &node.value {
            Value::Map(entries) => self.section(entries, table, &path),
            Value::Null => {
                self.report
                    .error("MG006", span, format!("instance `{name}` is empty"))
                    .help
                    .push(format!("say at least its role: `{name}: {{ role: replica, mode: SYNC }}`"));
                // Its role is unknown, which is not the same as missing.
                let bad = Entry { key: "role", key_span: span, value_span: span, value: Typed::Bad };
                Section { entries: vec![bad] }
            }
            value => {
                self.wrong(node, &path, "a mapping", value);
                let bad = Entry { key: "role", key_span: span, value_span: span, value: Typed::Bad };
                Section { entries: vec![bad] }
            }
        };
        match named.iter().find(|other| other.name == name).map(|other| other.span) {
            Some(first) => self.twice(&format!("instance `{name}`"), first, span),
            None => named.push(Named { name: name.to_owned(), span, value }),
        }
    }
}

/// Returns what a value must be, and an example where that says more.
fn describe(shape: Shape) -> (String, &'static str) {
    let (wanted, example) = match shape {
        Shape::Text | Shape::Secret => ("a text", "text"),
        Shape::Bool => ("true or false", "true"),
        Shape::Port => ("a number from 1 to 65535", "7687"),
        Shape::Duration => ("a time with a unit", "30s"),
        Shape::Size => ("a size", "1GiB"),
        Shape::Cpus => ("a number of CPUs, at least 0.01", "1.5"),
        Shape::Priority => ("a number from 0 to 1000", "100"),
        Shape::Number(least, most) => return (format!("a number from {least} to {most}"), ""),
        Shape::Words(words) => return (format!("one of {}", words.join(", ")), words[0]),
        Shape::Ip => ("an IP address", "127.0.0.1"),
        Shape::Ipv4 => ("an IPv4 address", "172.28.37.11"),
        Shape::Subnet => ("an IPv4 range", "172.28.37.0/24"),
        Shape::Endpoint => ("a host, or a host and a port", "10.0.0.5:7687"),
        Shape::Texts => ("a list of texts", "[a, b]"),
        Shape::Scalars | Shape::Limits | Shape::Map(_) | Shape::Named(_) => ("a mapping", "{ key: value }"),
    };
    (wanted.to_owned(), example)
}

fn join(path: &str, key: &str) -> String {
    let key = short(key);
    if path.is_empty() { key } else { format!("{path}.{key}") }
}

/// Returns at most 60 characters, for a message.
fn short(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
