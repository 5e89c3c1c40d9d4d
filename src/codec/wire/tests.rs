//! The writer alone.

use super::*;

type Plain = Writer<Vec<u8>>;

#[test]
fn an_extension_of_any_length_equals_one_written_at_once() {
    for length in [0, 1, 2, 3, 4, 8, 16, 17, 255, 256, 65_535, 65_536] {
        let payload = vec![7; length];
        let mut at_once = Plain::new(Vec::new());
        at_once.ext_head(5, length);
        at_once.raw(&payload);
        let mut open = Plain::new(Vec::new());
        let start = open.ext_start();
        open.raw(&payload);
        open.ext_end(start, 5);
        assert_eq!(at_once.bytes, open.bytes, "length {length}");
    }
}

#[test]
fn segments_are_where_they_would_be_if_copied() {
    for (before, inside, after) in [(1, 30, 1), (3, 300, 9), (0, 70_000, 2), (250, 4, 0)] {
        let (mut copied, mut spliced) = (Plain::new(Vec::new()), Plain::new(Vec::new()));
        for (writer, splice) in [(&mut copied, false), (&mut spliced, true)] {
            for _ in 0..2 {
                let start = writer.ext_start();
                writer.raw(&vec![1; before]);
                if splice {
                    writer.splice(vec![2; inside]);
                } else {
                    writer.raw(&vec![2; inside]);
                }
                writer.raw(&vec![3; after]);
                writer.ext_end(start, 5);
            }
        }
        assert_eq!(copied.into_whole(), spliced.into_whole());
    }
}

#[test]
fn rolling_back_forgets_bytes_and_segments() {
    let mut writer = Plain::new(Vec::new());
    writer.raw(&[1; 3]);
    let mark = writer.mark();
    writer.raw(&[1; 9]);
    writer.splice(vec![1; 9]);
    writer.roll_back(mark);
    assert_eq!(writer.into_whole(), vec![1; 3]);
}
