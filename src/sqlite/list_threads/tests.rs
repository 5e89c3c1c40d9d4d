//! What is asked of a range of threads is looked up by their ids, not among all.

use super::*;
use crate::model::{ListFilter, ThreadRange};

fn plan(connection: &Connection, text: &str) -> String {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {text}")).unwrap();
    let mut rows = statement.raw_query();
    let mut details = String::new();
    while let Some(row) = rows.next().unwrap() {
        details.push_str(&row.get::<_, String>(3).unwrap());
        details.push_str("; ");
    }
    details
}

#[test]
fn the_threads_of_a_range_are_searched_by_key() {
    let connection = Connection::open_in_memory().unwrap();
    schema::migrate(&connection, Format::Compact).unwrap();
    let threads = ThreadRange {
        from: "a%:".to_owned(),
        until: Some("a%;".to_owned()),
    };
    let filter = ThreadFilter {
        threads: threads.clone(),
        ..ThreadFilter::default()
    };
    let checkpoints = ListFilter {
        threads,
        ..ListFilter::default()
    };
    let texts = [
        statement(sql::PAGE_BY_UPDATED, &filter, sql::ORDER_BY_UPDATED),
        statement(sql::PAGE_BY_CREATED, &filter, sql::ORDER_BY_CREATED),
        statement(sql::PAGE_BY_ID, &filter, sql::ORDER_BY_ID),
        statement(sql::COUNT_THREADS, &filter, ""),
        statements::list_keys(&checkpoints, false),
        statements::list_keys(&checkpoints, true),
        sql::NEXT_THREAD.to_owned(),
        statements::maintenance::SELECT_NOTED_THREADS.to_owned(),
        statements::SELECT_STORED_CHECKPOINTS.to_owned(),
    ];
    for text in texts {
        let plan = plan(&connection, &text);
        assert!(plan.contains("thread_id>? AND thread_id<?"), "{text}: {plan}");
        assert!(!plan.contains("SCAN checkpoint"), "{text}: {plan}");
    }
}
