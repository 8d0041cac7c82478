//! Small files of one line of numbers with a checksum: what must be known of the large ones to notice that a part of them is gone.

/// The form of these lines.
const FORM: u64 = 1;

/// The most that is read of one: it holds a word and a few numbers.
pub(crate) const NOTE_BYTES_MAX: usize = 256;

/// A note: `word 1 17 903 sum 0a1b2c3d`.
pub(crate) fn line(word: &str, numbers: &[u64]) -> Vec<u8> {
    let mut line = format!("{word} {FORM}");
    for number in numbers {
        line.push_str(&format!(" {number}"));
    }
    let sum = crc32fast::hash(line.as_bytes());
    line.push_str(&format!(" sum {sum:08x}\n"));
    line.into_bytes()
}

/// The numbers of a note, if it is whole.
pub(crate) fn numbers<const N: usize>(word: &str, bytes: &[u8]) -> Option<[u64; N]> {
    let words = std::str::from_utf8(bytes).ok()?.split_ascii_whitespace();
    let mut said = words.skip(2);
    let mut numbers = [0; N];
    for number in &mut numbers {
        *number = said.next()?.parse().ok()?;
    }
    // Written again it must be the same, with the word, the form and the checksum.
    (line(word, &numbers) == bytes).then_some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_is_read_as_it_was_written_or_not_at_all() {
        let whole = line("generation", &[3, 0, u64::MAX]);
        assert_eq!(numbers("generation", &whole), Some([3, 0, u64::MAX]));
        assert_eq!(numbers::<3>("newest", &whole), None);
        assert_eq!(numbers::<2>("generation", &whole), None);
        for at in 0..whole.len() {
            assert_eq!(numbers::<3>("generation", &whole[..at]), None);
            for bit in 0..8 {
                let mut flipped = whole.clone();
                flipped[at] ^= 1 << bit;
                assert_eq!(numbers::<3>("generation", &flipped), None);
            }
        }
    }
}
