//! Which nodes run next, as far as a checkpoint tells it: read from msgpack without decoding it.
//!
//! LangGraph runs a node when one of its triggers is available and has a version that the node has not seen
//! (`prepare_next_tasks`). Triggers that `StateGraph` makes carry the node's name: `branch:to:NODE`,
//! `join:A+B:NODE` (available once A and B wrote) and `__start__`; `__pregel_tasks` holds the sends. Which
//! nodes other channels trigger is known to the graph only.

use std::collections::{HashMap, HashSet};

use crate::msgpack::Walker;

const START: &str = "__start__";
const TASKS: &str = "__pregel_tasks";
/// Under this name the versions are kept that an interrupt has seen: it is no node.
const INTERRUPT: &str = "__interrupt__";

/// What msgpack has for None, and the ends of a deferred trigger's value: `(value, finished)`.
const NIL: u8 = 0xc0;
const UNFINISHED: u8 = 0xc2;

/// The triggers of a checkpoint.
#[derive(Default)]
struct Triggers {
    /// Channels that are available; None while they are not known.
    available: Option<Vec<String>>,
    /// The nodes that sends go to.
    sends: Vec<String>,
    versions: HashMap<String, Vec<u8>>,
    /// Versions that the node of a trigger has seen.
    seen: HashSet<(String, Vec<u8>)>,
}

/// The nodes that run next, sends first; `None` if the bytes are not a checkpoint in plain msgpack.
pub fn next_nodes(bytes: &[u8]) -> Option<Vec<String>> {
    next_nodes_around(bytes, &[], |_| None)
}

/// As [`next_nodes`], of bytes with holes where the long values were; `fill` fetches what belongs in one.
pub(crate) fn next_nodes_around(
    bytes: &[u8],
    holes: &[usize],
    mut fill: impl FnMut(usize) -> Option<Vec<u8>>,
) -> Option<Vec<String>> {
    let mut walker = Walker::with_holes(bytes, holes);
    let mut triggers = Triggers::default();
    for _ in 0..walker.map_length()? {
        match walker.text()? {
            b"channel_values" => {
                let available = triggers.available.get_or_insert_default();
                available.clear();
                for _ in 0..walker.map_length()? {
                    let channel = walker.text()?;
                    let (start, passed) = (walker.position(), walker.holes_passed());
                    walker.skip()?;
                    if node_of(channel).is_none() && channel != TASKS.as_bytes() {
                        continue;
                    }
                    let mut value = bytes[start..walker.position()].to_vec();
                    if walker.holes_passed() > passed {
                        value.extend(fill(passed)?);
                    }
                    triggers.add_value(channel, &value)?;
                }
            }
            b"channel_versions" => {
                let count = walker.map_length()?;
                in_hole(&mut walker, &mut fill, |walker| {
                    triggers.read_versions(walker, count)
                })?;
            }
            b"versions_seen" => {
                let count = walker.map_length()?;
                in_hole(&mut walker, &mut fill, |walker| triggers.read_seen(walker, count))?;
            }
            _ => {
                walker.skip()?;
            }
        }
    }
    walker.is_at_end().then(|| triggers.next())
}

/// Reads the members of a map here, or in the hole that takes their place.
fn in_hole(
    walker: &mut Walker<'_>,
    fill: &mut impl FnMut(usize) -> Option<Vec<u8>>,
    mut read: impl FnMut(&mut Walker<'_>) -> Option<()>,
) -> Option<()> {
    match walker.hole() {
        Some(hole) => read(&mut Walker::new(&fill(hole)?)),
        None => read(walker),
    }
}

/// The node that a channel triggers.
fn node_of(channel: &[u8]) -> Option<&str> {
    let channel = std::str::from_utf8(channel).ok()?;
    if channel == START {
        return Some(START);
    }
    // Names of nodes hold no colon.
    if let Some(node) = channel.strip_prefix("branch:to:") {
        return Some(node);
    }
    Some(channel.strip_prefix("join:")?.rsplit_once(':')?.1)
}

impl Triggers {
    fn add_value(&mut self, channel: &[u8], value: &[u8]) -> Option<()> {
        let channel = std::str::from_utf8(channel).ok()?;
        if channel == TASKS {
            self.sends = sends(value)?;
        } else if is_available(channel, value) {
            self.available.get_or_insert_default().push(channel.to_owned());
        }
        Some(())
    }

    fn read_versions(&mut self, walker: &mut Walker<'_>, count: usize) -> Option<()> {
        for _ in 0..count {
            let channel = walker.text()?;
            let version = walker.value()?;
            if self.may_fire(channel) {
                let channel = std::str::from_utf8(channel).ok()?;
                self.versions.insert(channel.to_owned(), version.to_vec());
            }
        }
        Some(())
    }

    fn read_seen(&mut self, walker: &mut Walker<'_>, count: usize) -> Option<()> {
        for _ in 0..count {
            let node = walker.text()?;
            for _ in 0..walker.map_length()? {
                let channel = walker.text()?;
                let version = walker.value()?;
                // A workflow's entry has a name of its own.
                let is_start = channel == START.as_bytes() && node != INTERRUPT.as_bytes();
                let is_own = || node_of(channel).is_some_and(|own| own.as_bytes() == node);
                if self.may_fire(channel) && (is_start || is_own()) {
                    let channel = std::str::from_utf8(channel).ok()?;
                    self.seen.insert((channel.to_owned(), version.to_vec()));
                }
            }
        }
        Some(())
    }

    /// Whether it matters which version this channel has.
    fn may_fire(&self, channel: &[u8]) -> bool {
        match &self.available {
            Some(available) => available.iter().any(|name| name.as_bytes() == channel),
            None => node_of(channel).is_some(),
        }
    }

    fn next(self) -> Vec<String> {
        let mut pulled: Vec<String> = Vec::new();
        for channel in self.available.unwrap_or_default() {
            let Some(version) = self.versions.get(&channel) else {
                continue;
            };
            let node = node_of(channel.as_bytes()).map(str::to_owned);
            if !self.seen.contains(&(channel, version.clone())) {
                pulled.extend(node);
            }
        }
        pulled.sort();
        pulled.dedup();
        let mut nodes = self.sends;
        nodes.append(&mut pulled);
        nodes
    }
}

/// Whether a trigger with this value fires.
fn is_available(channel: &str, value: &[u8]) -> bool {
    let Some(names) = channel
        .strip_prefix("join:")
        .and_then(|rest| Some(rest.rsplit_once(':')?.0))
    else {
        return channel == START || value == [NIL] || value.last() != Some(&UNFINISHED);
    };
    if value.last() == Some(&UNFINISHED) {
        return false;
    }
    // A set, `["builtins", "set", [name, ...]]`, of some of the names that `+` joins in the channel's.
    let mut texts = Vec::new();
    Walker::new(value).texts(&mut texts);
    let wrote: usize = texts.iter().skip(2).map(|name| name.len() + 1).sum();
    wrote == names.len() + 1
}

/// The nodes of a list of `Send`s: extensions of `[module, class, [node, argument]]`.
fn sends(value: &[u8]) -> Option<Vec<String>> {
    let mut walker = Walker::new(value);
    let mut nodes = Vec::new();
    for _ in 0..walker.array_length()? {
        let end = walker.enter_extension()?;
        walker.array_length()?;
        walker.text()?;
        walker.text()?;
        walker.array_length()?;
        nodes.push(walker.owned_text()?);
        walker.seek(end);
    }
    Some(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(out: &mut Vec<u8>, value: &str) {
        rmp::encode::write_str(out, value).unwrap();
    }

    fn head(out: &mut Vec<u8>, count: u32) {
        rmp::encode::write_map_len(out, count).unwrap();
    }

    fn values(out: &mut Vec<u8>) {
        text(out, "channel_values");
        head(out, 3);
        for (name, value) in [
            ("messages", &b"\x91\xa1x"[..]),
            ("branch:to:b", &[NIL]),
            ("join:a+b:c", b"\xc7\x13\x00\x93\xa8builtins\xa3set\x92\xa1b\xa1a"),
        ] {
            text(out, name);
            out.extend(value);
        }
    }

    fn versions(out: &mut Vec<u8>) {
        text(out, "channel_versions");
        head(out, 2);
        for name in ["branch:to:b", "join:a+b:c"] {
            text(out, name);
            text(out, "2");
        }
    }

    fn seen(out: &mut Vec<u8>, version: &str) {
        text(out, "versions_seen");
        head(out, 1);
        text(out, "b");
        head(out, 1);
        text(out, "branch:to:b");
        text(out, version);
    }

    #[test]
    fn a_node_runs_whose_trigger_it_has_not_seen_whatever_the_order_of_keys() {
        for (version, expected) in [("1", vec!["b", "c"]), ("2", vec!["c"])] {
            for values_first in [true, false] {
                let mut bytes = Vec::new();
                head(&mut bytes, 3);
                if values_first {
                    values(&mut bytes);
                }
                versions(&mut bytes);
                seen(&mut bytes, version);
                if !values_first {
                    values(&mut bytes);
                }
                assert_eq!(next_nodes(&bytes).unwrap(), expected);
                for length in 0..bytes.len() {
                    assert_eq!(next_nodes(&bytes[..length]), None);
                }
            }
        }
    }

    #[test]
    fn a_deferred_node_waits_until_the_graph_would_end() {
        assert!(is_available("branch:to:a", &[0x92, NIL, 0xc3]));
        assert!(!is_available("branch:to:a", &[0x92, NIL, UNFINISHED]));
    }
}
