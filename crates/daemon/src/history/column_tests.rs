//! Columns: what is in their files, and what becomes of files that are not as they were.

use super::*;

/// More than one block of samples.
fn column(epoch: u64) -> Column {
    let codes = (0..WIDTH * (BLOCK + 10)).map(|i| (i % 251) as u8).collect();
    Column::new(epoch, 7, codes)
}

fn codes(column: &Column, samples: &[usize]) -> Option<Vec<[u8; WIDTH]>> {
    let mut codes = Vec::new();
    let all = column.read(samples, |nth, code| {
        assert_eq!(nth, codes.len());
        codes.push(code);
    });
    all.then_some(codes)
}

fn files(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// By hand: samples 3 and 8192 have bytes 6, 7 and 16384, 16385 modulo 251.
#[test]
fn the_file_holds_two_bytes_a_sample_and_a_checksum_a_block() {
    let place = tempfile::tempdir().unwrap();
    let column = column(3);
    assert_eq!(codes(&column, &[3, 8192]), Some(vec![[6, 7], [69, 70]]));
    column.save(place.path()).unwrap();
    let path = place.path().join(column.name());
    assert_eq!(fs::metadata(&path).unwrap().len(), 8 + 2 * 8202 + 2 * 4);
    let restored = Column::saved((3, 7), column.samples, column.digest, place.path());
    assert_eq!(restored, column);
    assert_eq!(codes(&restored, &[3, 8192]), Some(vec![[6, 7], [69, 70]]));
    // Beyond the last there is nothing.
    assert_eq!(codes(&restored, &[8201, 8202]).unwrap().len(), 1);
}

#[test]
fn a_column_is_written_once_and_copied_elsewhere() {
    let place = tempfile::tempdir().unwrap();
    let (here, there) = (place.path().join("here"), place.path().join("there"));
    fs::create_dir(&here).unwrap();
    fs::create_dir(&there).unwrap();
    let column = column(3);
    column.save(&here).unwrap();
    let written = fs::metadata(here.join(column.name())).unwrap().modified();
    column.save(&here).unwrap();
    let again = fs::metadata(here.join(column.name())).unwrap().modified();
    assert_eq!(written.unwrap(), again.unwrap());
    column.save(&there).unwrap();
    assert_eq!(files(&here), files(&there));
    fs::remove_dir_all(&here).unwrap();
    assert_eq!(codes(&column, &[3]), Some(vec![[6, 7]]));
}

#[test]
fn whatever_is_changed_in_a_file_is_noticed_when_it_is_read() {
    let place = tempfile::tempdir().unwrap();
    let column = column(3);
    column.save(place.path()).unwrap();
    let path = place.path().join(column.name());
    let bytes = fs::read(&path).unwrap();
    // In the first block, in the second, in either checksum.
    for at in [8, 16_391, 16_392, 16_410, 16_412, 16_419] {
        let mut changed = bytes.clone();
        changed[at] ^= 4;
        fs::write(&path, &changed).unwrap();
        assert_eq!(codes(&column, &[0, 8200]), None, "byte {at}");
    }
    for length in [0, 8, 16_392, bytes.len() - 1] {
        fs::write(&path, &bytes[..length]).unwrap();
        assert_eq!(codes(&column, &[0]), None, "{length} bytes");
    }
    fs::write(&path, [&bytes[..], &[0]].concat()).unwrap();
    assert_eq!(codes(&column, &[0]), None);
    // Of the same size, but another checkpoint's.
    let other = Column::new(3, 7, vec![9; WIDTH * column.samples]);
    other.save(place.path()).unwrap();
    fs::rename(place.path().join(other.name()), &path).unwrap();
    assert_eq!(codes(&column, &[0]), None);
    fs::write(&path, &bytes).unwrap();
    assert_eq!(codes(&column, &[0]), Some(vec![[0, 1]]));
}

#[test]
fn only_columns_that_nobody_names_are_taken_away() {
    let place = tempfile::tempdir().unwrap();
    let columns = [column(1), column(2)];
    for column in &columns {
        column.save(place.path()).unwrap();
    }
    fs::write(place.path().join("notes.txt"), "mine").unwrap();
    forget_others(place.path(), &[columns[1].name()]);
    assert_eq!(
        files(place.path()),
        [columns[1].name(), "notes.txt".to_string()]
    );
    forget_others(&place.path().join("nowhere"), &[]);
}
