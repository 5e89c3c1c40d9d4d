//! Values as recipes: inline bytes and references to chunks, whose concatenation is exactly the
//! value. `docs/format.md` specifies the bytes. Knows no SQL.

mod cache;
mod cut;
mod draft;
mod frame;
mod recipe;
mod seal;

pub(crate) use cache::{Cache, Ids, Known};
pub(crate) use cut::MOST as LONGEST_LEAF;
pub(crate) use draft::{Draft, Kind};
pub(crate) use frame::decompress;
pub(crate) use recipe::{Op, Recipe, Unreadable, decode_node, encode_node};
pub(crate) use seal::{Binding, Seal, Sealer};

/// The tag of a stored recipe.
pub(crate) const TAG: &str = "chunked";

/// A BLAKE3 hash, truncated.
pub(crate) type Hash = [u8; 16];

/// The hash of a leaf: of its bytes.
pub(crate) fn leaf_hash(bytes: &[u8]) -> Hash {
    truncated(blake3::hash(bytes))
}

/// The hash of a node: of the hashes of its leaves. Keyed, so that no leaf can have it.
pub(crate) fn node_hash<'a>(leaves: impl Iterator<Item = &'a Hash>) -> Hash {
    let mut hasher = blake3::Hasher::new_keyed(b"langgraph-checkpoint-rust node 1");
    for leaf in leaves {
        hasher.update(leaf);
    }
    truncated(hasher.finalize())
}

fn truncated(hash: blake3::Hash) -> Hash {
    let mut truncated = Hash::default();
    truncated.copy_from_slice(&hash.as_bytes()[..16]);
    truncated
}
