//! Which values of which classes take the fast path: the written list.
//!
//! A message is stored as an extension that holds `(module, class, model_dump(), "model_validate_json")`.
//! The slow path runs `model_dump()` to write it and the constructor, with its validators, to read it. Both may
//! *change* values. The fast path reads and fills the instance's `__dict__` instead, so it may run only where
//! both are the identity. That depends on the value, so each instance is checked, in both directions,
//! against the shapes below; **exact** types throughout, never subclasses. What does not fit goes to upstream.
//!
//! Of an instance: `__dict__` has exactly the fields of its class, in their order; no extra fields.
//! (Extra fields dump after the others and validate to `__pydantic_extra__`; a missing one warns.)
//!
//! *Plain* means: None, bool, int of 64 bits, float, str without lone surrogates, and lists and dicts
//! of plain values with `str` keys, at most [`PLAIN_DEPTH`] levels. Encoding also admits tuples (not at the top)
//! and bytes. Everything else is changed or may be by `model_dump` (models and dataclasses become dicts), or
//! needs a hook when it is read.
//!
//! | shape | fits | because otherwise |
//! |---|---|---|
//! | [`Shape::Content`] | str, or list of str and plain dicts | a tuple becomes a list; a list inside is coerced or refused |
//! | [`Shape::EmptyContent`] | reading: `""` | `RemoveMessage` refuses content |
//! | [`Shape::Kwargs`] | plain dict; on reading an `AIMessage` without any tool call, no key `tool_calls` | the validator parses tool calls out of it |
//! | [`Shape::Metadata`] | plain dict | |
//! | [`Shape::Literal`] | that str | a validation error, then `model_construct` |
//! | [`Shape::Text`] | str | `id=5` becomes `"5"` |
//! | [`Shape::OptionalText`] | None or str | the same |
//! | [`Shape::Status`] | `"success"` or `"error"` | a validation error |
//! | [`Shape::Artifact`] | plain | models become dicts |
//! | [`Shape::ToolCalls`] | list of dicts, exactly `name: str, args: plain dict, id: None or str, type: "tool_call"` in that order | the validator drops `extras`, overwrites `type`, and sets this order |
//! | [`Shape::InvalidToolCalls`] | list of dicts, exactly `type: "invalid_tool_call", id, name, args, error: None or str` in that order | the same |
//! | [`Shape::NoToolCalls`] | `[]` | `AIMessageChunk` derives each of its three lists from the others |
//! | [`Shape::Usage`] | None, or dict `input_tokens, output_tokens, total_tokens: int`, then perhaps `input_token_details` (`audio, cache_creation, cache_read: int`), `output_token_details` (`audio, reasoning: int`), all in that order | 1.0 and True become 1; unknown keys are dropped; keys are sorted |
//! | [`Shape::ChunkPosition`] | None, or `"last"`; on reading `"last"` only beside str content | server tool calls in list content are parsed |
//!
//! On writing only `model_dump` runs, and it changes less than validation: the shapes that say "on reading"
//! are not checked.

/// Levels of containers inside a message that are walked; pydantic's own limit is above it.
pub(super) const PLAIN_DEPTH: usize = 64;

/// What a field must hold for the fast path. See the table above.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Content,
    EmptyContent,
    Kwargs,
    Metadata,
    Literal(&'static str),
    Text,
    OptionalText,
    Status,
    Artifact,
    ToolCalls,
    InvalidToolCalls,
    NoToolCalls,
    Usage,
    ChunkPosition,
}

/// A class, its fields in order, and whether extra fields are kept (then `__pydantic_extra__` is a dict).
#[derive(Debug)]
pub(super) struct ClassShape {
    pub(super) module: &'static str,
    pub(super) name: &'static str,
    pub(super) keeps_extra: bool,
    pub(super) fields: &'static [(&'static str, Shape)],
}

macro_rules! message {
    ($module:literal, $name:literal, $kind:literal $(, $field:literal: $shape:expr)*) => {
        message!($module, $name, $kind, content Shape::Content, name Shape::OptionalText, id Shape::OptionalText
            $(, $field: $shape)*)
    };
    ($module:literal, $name:literal, $kind:literal, content $content:expr, name $by:expr, id $id:expr
        $(, $field:literal: $shape:expr)*) => {
        ClassShape {
            module: concat!("langchain_core.messages.", $module),
            name: $name,
            keeps_extra: true,
            fields: &[
                ("content", $content),
                ("additional_kwargs", Shape::Kwargs),
                ("response_metadata", Shape::Metadata),
                ("type", Shape::Literal($kind)),
                ("name", $by),
                ("id", $id),
                $(($field, $shape)),*
            ],
        }
    };
}

/// The classes, the most frequent first.
pub(super) static CLASSES: [ClassShape; 14] = [
    message!("human", "HumanMessage", "human"),
    message!(
        "ai", "AIMessage", "ai",
        "tool_calls": Shape::ToolCalls,
        "invalid_tool_calls": Shape::InvalidToolCalls,
        "usage_metadata": Shape::Usage
    ),
    message!(
        "tool", "ToolMessage", "tool",
        "tool_call_id": Shape::Text,
        "artifact": Shape::Artifact,
        "status": Shape::Status
    ),
    message!("system", "SystemMessage", "system"),
    ClassShape {
        module: "langchain_core.documents.base",
        name: "Document",
        keeps_extra: false,
        fields: &[
            ("id", Shape::OptionalText),
            ("metadata", Shape::Metadata),
            ("page_content", Shape::Text),
            ("type", Shape::Literal("Document")),
        ],
    },
    message!(
        "ai", "AIMessageChunk", "AIMessageChunk",
        "tool_calls": Shape::NoToolCalls,
        "invalid_tool_calls": Shape::NoToolCalls,
        "usage_metadata": Shape::Usage,
        "tool_call_chunks": Shape::NoToolCalls,
        "chunk_position": Shape::ChunkPosition
    ),
    message!(
        "modifier", "RemoveMessage", "remove",
        content Shape::EmptyContent, name Shape::OptionalText, id Shape::Text
    ),
    message!("chat", "ChatMessage", "chat", "role": Shape::Text),
    message!(
        "function", "FunctionMessage", "function",
        content Shape::Content, name Shape::Text, id Shape::OptionalText
    ),
    message!("human", "HumanMessageChunk", "HumanMessageChunk"),
    message!("system", "SystemMessageChunk", "SystemMessageChunk"),
    message!(
        "tool", "ToolMessageChunk", "ToolMessageChunk",
        "tool_call_id": Shape::Text,
        "artifact": Shape::Artifact,
        "status": Shape::Status
    ),
    message!("chat", "ChatMessageChunk", "ChatMessageChunk", "role": Shape::Text),
    message!(
        "function", "FunctionMessageChunk", "FunctionMessageChunk",
        content Shape::Content, name Shape::Text, id Shape::OptionalText
    ),
];

/// The keys of a tool call, in the only order that validation leaves alone.
pub(super) const TOOL_CALL: [&str; 4] = ["name", "args", "id", "type"];
/// The keys of an invalid tool call, likewise.
pub(super) const INVALID_TOOL_CALL: [&str; 5] = ["type", "id", "name", "args", "error"];
/// The required token counts, which come first.
pub(super) const USAGE: [&str; 3] = ["input_tokens", "output_tokens", "total_tokens"];
/// The optional token details that may follow, each with the keys it may have; all in order.
pub(super) const USAGE_DETAILS: [(&str, &[&str]); 2] = [
    ("input_token_details", &["audio", "cache_creation", "cache_read"]),
    ("output_token_details", &["audio", "reasoning"]),
];
