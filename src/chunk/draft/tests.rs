//! The ops of a draft give its value, whatever came before.

use super::*;

const PLAIN: Compression = Compression::None;

struct Random(u64);
impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        usize::try_from(self.0 >> 33).unwrap() % limit
    }

    fn element(&mut self) -> String {
        let letter = char::from(b'a' + u8::try_from(self.below(26)).unwrap());
        (0..self.below(600))
            .map(|at| char::from(u8::try_from(at % 64 + 32).unwrap()))
            .chain([letter])
            .collect()
    }

    fn edit(&mut self, elements: &mut Vec<String>) {
        let at = self.below(elements.len() + 1);
        match self.below(6) {
            0 | 1 => elements.extend((0..at % 9).map(|_| self.element())),
            2 => drop(elements.drain(..at.min(20))),
            3 => elements.insert(at, self.element()),
            4 => elements.truncate(at),
            _ => elements.extend_from_within(..at),
        }
    }
}

/// A checkpoint with a channel of strings, one of bytes and a short one.
fn checkpoint(elements: &[String]) -> Blob {
    let mut out = Vec::new();
    rmp::encode::write_map_len(&mut out, 1).unwrap();
    rmp::encode::write_str(&mut out, "channel_values").unwrap();
    rmp::encode::write_map_len(&mut out, 3).unwrap();
    rmp::encode::write_str(&mut out, "items").unwrap();
    rmp::encode::write_array_len(&mut out, u32::try_from(elements.len()).unwrap()).unwrap();
    for element in elements {
        rmp::encode::write_str(&mut out, element).unwrap();
    }
    rmp::encode::write_str(&mut out, "count").unwrap();
    rmp::encode::write_uint(&mut out, elements.len() as u64).unwrap();
    rmp::encode::write_str(&mut out, "bytes").unwrap();
    rmp::encode::write_bin(&mut out, elements.concat().as_bytes()).unwrap();
    Blob::new(out)
}

/// The bytes that the ops describe. A leaf's id is its index, a node's is beyond all leaves.
fn reassembled(draft: &Draft) -> Vec<u8> {
    let ids = Ids {
        leaves: (0_i64..).take(draft.leaves.len()).collect(),
        nodes: (1 << 40_i64..).take(draft.nodes.len()).collect(),
        ..Ids::default()
    };
    let leaf = |id: i64| draft.leaf_bytes(&draft.leaves[usize::try_from(id).unwrap()]);
    let (inline, mut out) = (draft.inline(), Vec::new());
    let inline = inline.bytes().unwrap();
    let mut rest = &*inline;
    for op in draft.ops(&ids) {
        match op {
            Op::Inline(count) => {
                out.extend_from_slice(&rest[..count]);
                rest = &rest[count..];
            }
            Op::Leaves(ids) => ids.iter().for_each(|id| out.extend_from_slice(leaf(*id))),
            Op::Nodes(ids) => {
                for id in ids {
                    let node = &draft.nodes[usize::try_from(id - (1 << 40)).unwrap()];
                    for index in node.leaves.clone() {
                        out.extend_from_slice(draft.leaf_bytes(&draft.leaves[index]));
                    }
                }
            }
            Op::Body(_) => {}
        }
    }
    assert!(rest.is_empty());
    out
}

fn check(draft: &Draft, previous: Option<&Draft>) {
    for leaf in &draft.leaves {
        assert_eq!(leaf.hash, leaf_hash(draft.leaf_bytes(leaf)));
        if let Some(old) = leaf.old {
            let old = &previous.unwrap().leaves[old];
            assert_eq!(old.hash, leaf.hash);
            assert_eq!(previous.unwrap().leaf_bytes(old), draft.leaf_bytes(leaf));
        }
    }
    for node in &draft.nodes {
        let leaves = &draft.leaves[node.leaves.clone()];
        assert_eq!(node.hash, node_hash(leaves.iter().map(|leaf| &leaf.hash)));
        if let Some(old) = node.old {
            assert_eq!(previous.unwrap().nodes[old].hash, node.hash);
        }
    }
}

#[test]
fn the_ops_give_the_value_with_a_previous_draft_and_without() {
    let mut random = Random(1);
    let mut reused = 0;
    for _ in 0..6 {
        let mut elements: Vec<_> = (0..random.below(900)).map(|_| random.element()).collect();
        let mut previous: Option<Draft> = None;
        for _ in 0..20 {
            let value = checkpoint(&elements);
            let alone = Draft::new(Kind::Checkpoint, "msgpack", value.clone(), None, PLAIN);
            check(&alone, None);
            assert_eq!(reassembled(&alone), value.as_slice());
            let draft = Draft::new(
                Kind::Checkpoint,
                "msgpack",
                value.clone(),
                previous.as_ref(),
                PLAIN,
            );
            check(&draft, previous.as_ref());
            assert_eq!(reassembled(&draft), value.as_slice());
            reused += draft.leaves.iter().filter(|leaf| leaf.old.is_some()).count();
            previous = Some(draft);
            random.edit(&mut elements);
        }
    }
    assert!(reused > 500, "{reused}");
}

#[test]
fn what_is_no_checkpoint_is_divided_all_the_same() {
    let mut random = Random(2);
    let bytes: Vec<_> = (0..100_000)
        .map(|_| u8::try_from(random.below(256)).unwrap())
        .collect();
    for (tag, kind) in [
        ("msgpack", Kind::Checkpoint),
        ("msgpack", Kind::Write),
        ("json", Kind::Write),
    ] {
        for length in [0, 1, LEAST - 1, LEAST, 9 * LEAST, bytes.len()] {
            let value = Blob::new(bytes[..length].to_vec());
            let first = Draft::new(kind, tag, value.clone(), None, PLAIN);
            let second = Draft::new(kind, tag, value.clone(), Some(&first), PLAIN);
            assert_eq!(reassembled(&first), value.as_slice());
            assert_eq!(reassembled(&second), value.as_slice());
            check(&second, Some(&first));
            assert_eq!(second.is_inline(), first.leaves.is_empty());
        }
    }
}
