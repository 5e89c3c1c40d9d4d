//! The writer alone.

use super::*;

type Plain = Writer<Vec<u8>>;

#[test]
fn an_extension_of_any_length_equals_one_written_at_once() {
    for length in [0, 1, 2, 3, 4, 8, 16, 17, 255, 256, 65_535, 65_536] {
        let payload = vec![7; length];
        let mut at_once = Plain::new(Vec::new(), None);
        at_once.ext_head(5, length);
        at_once.raw(&payload);
        let mut open = Plain::new(Vec::new(), None);
        let start = open.ext_start();
        open.raw(&payload);
        open.ext_end(start, 5);
        assert_eq!(at_once.bytes, open.bytes, "length {length}");
    }
}

#[test]
fn segments_are_where_they_would_be_if_copied() {
    for (before, inside, after) in [(1, 30, 1), (3, 300, 9), (0, 70_000, 2), (250, 4, 0)] {
        let (mut copied, mut spliced) = (Plain::new(Vec::new(), Some(1)), Plain::new(Vec::new(), Some(1)));
        for (writer, splice) in [(&mut copied, false), (&mut spliced, true)] {
            for _ in 0..2 {
                let start = writer.ext_start();
                writer.raw(&vec![1; before]);
                writer.element_end();
                if splice {
                    writer.splice(vec![2; inside]);
                } else {
                    writer.raw(&vec![2; inside]);
                }
                writer.element_end();
                writer.raw(&vec![3; after]);
                writer.ext_end(start, 5);
                writer.element_end();
            }
        }
        assert_eq!(copied.into_parts(), spliced.into_parts());
    }
}

#[test]
fn cuts_inside_an_extension_move_with_its_payload() {
    for payload in [100, 300, 70_000] {
        let mut writer = Plain::new(Vec::new(), Some(10));
        writer.raw(&[1; 20]);
        writer.element_end();
        let start = writer.ext_start();
        writer.raw(&[2; 50]);
        writer.element_end();
        writer.raw(&vec![3; payload - 50]);
        writer.ext_end(start, 5);
        writer.element_end();
        assert_eq!(writer.cuts[0], 20);
        assert_eq!(
            (writer.bytes[writer.cuts[1] - 1], writer.bytes[writer.cuts[1]]),
            (2, 3)
        );
        assert_eq!(writer.cuts[2], writer.bytes.len());
    }
}

#[test]
fn rolling_back_forgets_bytes_segments_and_cuts() {
    let mut writer = Plain::new(Vec::new(), Some(4));
    writer.raw(&[1; 3]);
    let mark = writer.mark();
    writer.raw(&[1; 9]);
    writer.splice(vec![1; 9]);
    writer.element_end();
    writer.roll_back(mark);
    writer.element_end();
    assert_eq!(writer.into_parts(), (vec![1; 3], vec![]));
}
