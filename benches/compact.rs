//! What the compact format does beside storing: to compare with the state before, to cut, hash and compress; and
//! what commits cost that share a transaction. Each beside its floor: `memcpy`, BLAKE3 and zstd of the same
//! bytes, and a bare rusqlite transaction of the bytes that are left to be stored.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails may panic")]

mod support;

use std::sync::mpsc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput};
use langgraph_checkpoint_rust::backend::Backend;
use langgraph_checkpoint_rust::model::Compression;
use langgraph_checkpoint_rust::sqlite::{FormatChoice, Settings};
use support::{Pair, bare_put, batches, checkpoint, transaction};

/// Messages of some 300 bytes.
const MESSAGES: [u32; 3] = [20, 200, 1_000];
const AT_ONCE: [u64; 3] = [1, 8, 64];

/// A checkpoint with a channel of so many messages, in msgpack. No two messages are alike.
fn state(messages: u32) -> Vec<u8> {
    let mut out = Vec::new();
    rmp::encode::write_map_len(&mut out, 2).unwrap();
    rmp::encode::write_str(&mut out, "v").unwrap();
    rmp::encode::write_uint(&mut out, 4).unwrap();
    rmp::encode::write_str(&mut out, "channel_values").unwrap();
    rmp::encode::write_map_len(&mut out, 1).unwrap();
    rmp::encode::write_str(&mut out, "messages").unwrap();
    rmp::encode::write_array_len(&mut out, messages).unwrap();
    for number in 0..messages {
        let words: Vec<_> = (0..40)
            .map(|word| (number.wrapping_mul(2_654_435_761) ^ (word * 40_503)) % 9_973)
            .collect();
        rmp::encode::write_str(&mut out, &format!("{words:?}")).unwrap();
    }
    out
}

fn settings(compression: Compression) -> Settings {
    Settings {
        format: FormatChoice::Compact,
        compression,
        ..Settings::default()
    }
}

/// A message is appended to a state: all bytes are compared, few are stored.
fn append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("append a message");
    for messages in MESSAGES {
        let states: Vec<_> = (0..64).map(|more| state(messages + more)).collect();
        let pair = Pair::new(settings(Compression::None));
        group.throughput(Throughput::Bytes(states[0].len() as u64));
        group.bench_function(BenchmarkId::new("engine", messages), |bencher| {
            bencher.iter_custom(|iterations| {
                batches(&pair, iterations, |number| {
                    let bytes = &states[usize::try_from(number % 64).unwrap()];
                    pair.engine.put(checkpoint(number, bytes), None).wait().unwrap();
                })
            });
        });
        floors(&mut group, messages, &states[0]);
        group.bench_function(BenchmarkId::new("floor: bare row of 1 KB", messages), |bencher| {
            bencher.iter_custom(|iterations| {
                batches(&pair, iterations, |number| {
                    bare_put(&pair.bare, &checkpoint(number, &states[0][..1_000]));
                })
            });
        });
    }
    group.finish();
}

/// The first state of a thread: all of it is cut, hashed and stored, compressed or not.
fn first(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("first put");
    for messages in MESSAGES {
        let bytes = state(messages);
        group.throughput(Throughput::Bytes(bytes.len() as u64));
        for (name, compression) in [
            ("engine", Compression::None),
            ("engine with zstd", Compression::Zstd),
        ] {
            let pair = Pair::new(settings(compression));
            group.bench_function(BenchmarkId::new(name, messages), |bencher| {
                bencher.iter_custom(|iterations| {
                    let mut taken = Duration::ZERO;
                    for number in 0..iterations {
                        let row = checkpoint(number, &bytes);
                        let started = Instant::now();
                        pair.engine.put(row, None).wait().unwrap();
                        taken += started.elapsed();
                        pair.empty();
                    }
                    taken
                });
            });
        }
        floors(&mut group, messages, &bytes);
        let pair = Pair::new(settings(Compression::None));
        group.bench_function(BenchmarkId::new("floor: bare row", messages), |bencher| {
            bencher.iter_custom(|iterations| {
                batches(&pair, iterations, |number| {
                    bare_put(&pair.bare, &checkpoint(number, &bytes));
                })
            });
        });
    }
    group.finish();
}

fn floors(
    group: &mut criterion::BenchmarkGroup<'_, criterion::measurement::WallTime>,
    messages: u32,
    bytes: &[u8],
) {
    let mut target = vec![0; bytes.len()];
    group.bench_function(BenchmarkId::new("floor: memcpy", messages), |bencher| {
        bencher.iter(|| target.copy_from_slice(std::hint::black_box(bytes)));
    });
    group.bench_function(BenchmarkId::new("floor: BLAKE3", messages), |bencher| {
        bencher.iter(|| blake3::hash(std::hint::black_box(bytes)));
    });
    let mut compressor = zstd::bulk::Compressor::new(-1).unwrap();
    group.bench_function(BenchmarkId::new("floor: zstd", messages), |bencher| {
        bencher.iter(|| compressor.compress(std::hint::black_box(bytes)).unwrap());
    });
}

/// Puts that are handed in at once, and rows that a bare transaction stores together.
fn group_commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("group commit");
    let bytes = vec![7; 1_000];
    let pair = Pair::new(Settings {
        format: FormatChoice::Interop,
        ..Settings::default()
    });
    for at_once in AT_ONCE {
        group.throughput(Throughput::Elements(at_once));
        group.bench_function(BenchmarkId::new("engine", at_once), |bencher| {
            bencher.iter_custom(|iterations| {
                batches(&pair, iterations, |call| {
                    let first = call * at_once;
                    let (told, answers) = mpsc::channel();
                    for number in first..first + at_once {
                        let told = told.clone();
                        let put = pair.engine.put(checkpoint(number, &bytes), None);
                        put.then(Box::new(move |stored| told.send(stored.is_ok()).unwrap()));
                    }
                    drop(told);
                    assert_eq!(answers.iter().filter(|stored| *stored).count() as u64, at_once);
                })
            });
        });
        group.bench_function(BenchmarkId::new("floor", at_once), |bencher| {
            bencher.iter_custom(|iterations| {
                batches(&pair, iterations, |call| {
                    let first = call * at_once;
                    transaction(&pair.bare, "BEGIN IMMEDIATE", || {
                        for number in first..first + at_once {
                            support::insert_checkpoint(&pair.bare, &checkpoint(number, &bytes));
                        }
                    });
                })
            });
        });
    }
    group.finish();
}

fn main() {
    support::run(&[append, first, group_commit]);
}
