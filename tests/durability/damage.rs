//! Ways to damage a file, and copies of folders to do it in.

use crate::dice::Dice;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Bytes that are zeroed or doubled at once: a part of a record, or several small ones.
const PIECE: usize = 64;

/// What happens to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Damage {
    /// One bit at this place is another.
    Flip(usize),
    /// A piece is zeros, as after a torn write.
    Zero(usize),
    /// It ends here.
    Cut(usize),
    /// A piece is there twice.
    Double(usize),
    /// Something else stands behind its end.
    Append,
    /// It is empty.
    Empty,
    /// It is not there.
    Remove,
}

impl Damage {
    /// One of them, at a place in a file of this length. The first and the last bytes are hit more often than others.
    pub(crate) fn random(dice: &mut Dice, length: usize) -> Self {
        let place = match dice.below(4) {
            0 => dice.below(length.min(PIECE)),
            1 => length.saturating_sub(1 + dice.below(length.min(PIECE))),
            _ => dice.below(length),
        };
        match dice.below(15) {
            0..=4 => Self::Flip(place),
            5..=7 => Self::Zero(place),
            8..=10 => Self::Cut(place),
            11 => Self::Double(place),
            12 => Self::Append,
            13 => Self::Empty,
            _ => Self::Remove,
        }
    }

    pub(crate) fn hit(self, file: &Path) {
        let mut bytes = fs::read(file).unwrap();
        match self {
            Self::Flip(place) => bytes.iter_mut().skip(place).take(1).for_each(|byte| *byte ^= 1 << (place % 8)),
            Self::Zero(place) => bytes.iter_mut().skip(place).take(PIECE).for_each(|byte| *byte = 0),
            Self::Cut(place) => bytes.truncate(place),
            Self::Double(place) => {
                let piece: Vec<u8> = bytes.iter().skip(place).take(PIECE).copied().collect();
                let place = place.min(bytes.len());
                bytes.splice(place..place, piece);
            }
            Self::Append => bytes.extend_from_slice(&[0xa5; PIECE]),
            Self::Empty => bytes.clear(),
            Self::Remove => return fs::remove_file(file).unwrap(),
        }
        fs::write(file, bytes).unwrap();
    }
}

/// All files below a folder and what is in them, by their path below it.
pub(crate) fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                let name = entry.path().strip_prefix(folder).unwrap().to_owned();
                found.insert(name, fs::read(entry.path()).unwrap());
            }
        }
    }
    found
}

/// Makes a folder with these files.
pub(crate) fn lay_out(files: &BTreeMap<PathBuf, Vec<u8>>, folder: &Path) {
    use std::os::unix::fs::PermissionsExt;
    for (name, bytes) in files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    }
    fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).unwrap();
}
