//! The engine without an interpreter, each verb beside its floor: a bare rusqlite transaction of the
//! same bytes on a connection with the same settings. `compact.rs` has what the compact format adds.
//!
//! Every sample writes to one file that is emptied, unmeasured, after each batch of puts.

#![allow(clippy::unwrap_used, reason = "a benchmark that fails may panic")]

mod support;

use std::time::Instant;

use criterion::{BenchmarkId, Criterion, Throughput};
use langgraph_checkpoint_rust::backend::Backend;
use langgraph_checkpoint_rust::model::ListFilter;
use langgraph_checkpoint_rust::sqlite::{FormatChoice, Settings};
use support::{
    Pair, SIZES, THREAD, bare_get_tuple, bare_list, bare_put, bare_put_writes, batches, checkpoint, latest,
    writes,
};

/// In the format whose rows are those of the bare connection.
fn pair() -> Pair {
    Pair::new(Settings {
        format: FormatChoice::Interop,
        ..Settings::default()
    })
}

fn put(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("put");
    for size in SIZES {
        let (pair, bytes) = (pair(), vec![7; size]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("engine", size), |bencher| {
            bencher.iter_custom(|iterations| {
                batches(&pair, iterations, |number| {
                    pair.engine.put(checkpoint(number, &bytes), None).wait().unwrap();
                })
            });
        });
        group.bench_function(BenchmarkId::new("floor", size), |bencher| {
            bencher.iter_custom(|iterations| {
                batches(&pair, iterations, |number| {
                    bare_put(&pair.bare, &checkpoint(number, &bytes));
                })
            });
        });
    }
    group.finish();
}

fn put_writes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("put_writes");
    let (pair, bytes) = (pair(), vec![7; 400]);
    group.bench_function("engine", |bencher| {
        bencher.iter_custom(|iterations| {
            batches(&pair, iterations, |number| {
                pair.engine
                    .put_writes(writes(number, &bytes), None)
                    .wait()
                    .unwrap();
            })
        });
    });
    group.bench_function("floor", |bencher| {
        bencher.iter_custom(|iterations| {
            batches(&pair, iterations, |number| {
                bare_put_writes(&pair.bare, &writes(number, &bytes));
            })
        });
    });
    group.finish();
}

fn get_tuple(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("get_tuple");
    for size in SIZES {
        let pair = pair();
        pair.fill(20, &vec![7; size]);
        group.throughput(Throughput::Bytes(size as u64));
        group.bench_function(BenchmarkId::new("engine", size), |bencher| {
            bencher.iter(|| latest(&pair.engine));
        });
        group.bench_function(BenchmarkId::new("floor", size), |bencher| {
            bencher.iter(|| bare_get_tuple(&pair.bare));
        });
    }
    group.finish();
}

/// A put and a read of it. The engine's reader is another connection, whose page cache a commit
/// empties; the floor writes and reads on one.
fn put_then_get_tuple(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("put, then get_tuple");
    for size in SIZES {
        let (pair, bytes) = (pair(), vec![7; size]);
        group.bench_function(BenchmarkId::new("engine", size), |bencher| {
            bencher.iter_custom(|iterations| {
                batches(&pair, iterations, |number| {
                    pair.engine.put(checkpoint(number, &bytes), None).wait().unwrap();
                    latest(&pair.engine);
                })
            });
        });
        group.bench_function(BenchmarkId::new("floor", size), |bencher| {
            bencher.iter_custom(|iterations| {
                batches(&pair, iterations, |number| {
                    bare_put(&pair.bare, &checkpoint(number, &bytes));
                    bare_get_tuple(&pair.bare);
                })
            });
        });
    }
    group.finish();
}

fn list(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("list of 50");
    let pair = pair();
    pair.fill(500, &[7; 4_000]);
    let filter = ListFilter {
        thread_id: Some(THREAD.to_owned()),
        checkpoint_ns: Some(String::new()),
        ..ListFilter::default()
    };
    group.bench_function("engine", |bencher| {
        bencher.iter(|| {
            let page = pair.engine.list(filter.clone(), None, 50).wait().unwrap();
            assert_eq!(page.tuples.len(), 50);
            page
        });
    });
    group.bench_function("floor", |bencher| {
        bencher.iter(|| bare_list(&pair.bare, 50));
    });
    group.finish();
}

/// Point reads of 1.5 KB over several connections at once; the time is per read, over all threads.
fn parallel_reads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("parallel reads");
    let pair = pair();
    pair.fill(200, &[7; 1_500]);
    for threads in [1, 2, 4] {
        group.bench_function(BenchmarkId::from_parameter(threads), |bencher| {
            bencher.iter_custom(|iterations| {
                let started = Instant::now();
                std::thread::scope(|scope| {
                    for _ in 0..threads {
                        scope.spawn(|| {
                            for _ in 0..iterations.div_ceil(threads) {
                                latest(&pair.engine);
                            }
                        });
                    }
                });
                started.elapsed()
            });
        });
    }
    group.finish();
}

fn main() {
    support::run(&[
        put,
        put_writes,
        get_tuple,
        put_then_get_tuple,
        list,
        parallel_reads,
    ]);
}
