//! Whole files: what is written is read back, and whatever is wrong with a file is said.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use mirrorwatch_idx::{
    Data, Features, IdxError, Packing, features_from_bytes, labels_from_bytes, read_features,
    read_features_limited, read_labels, write_features, write_labels,
};
use proptest::prelude::*;

/// Two samples of 2 x 3 bytes.
const IMAGES: [u8; 28] = [
    0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
];

fn packing(gzip: bool) -> Packing {
    if gzip { Packing::Gzip } else { Packing::Plain }
}

fn write_at(dir: &Path, bytes: &[u8]) -> std::path::PathBuf {
    let path = dir.join("data");
    fs::write(&path, bytes).unwrap();
    path
}

/// The same error from a file and from memory.
fn message(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = write_at(dir.path(), bytes);
    let from_file = read_features(&path).unwrap_err().to_string();
    let name = path.display().to_string();
    let from_memory = features_from_bytes(&name, bytes).unwrap_err().to_string();
    assert_eq!(from_file, from_memory);
    from_file.replace(&name, "FILE")
}

#[test]
fn reads_what_mnist_looks_like() {
    let features = features_from_bytes("images", &IMAGES).unwrap();
    assert_eq!(features.count(), 2);
    assert_eq!(features.shape(), [2, 3]);
    assert_eq!(features.sample(1).unwrap()[5], 12.0 / 255.0);
}

#[test]
fn a_missing_file_and_a_directory_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("nowhere");
    let expected = format!(
        "{} does not exist: check the path, or download the file",
        path.display()
    );
    assert_eq!(read_features(&path).unwrap_err().to_string(), expected);
    assert_eq!(read_labels(&path).unwrap_err().to_string(), expected);
    assert!(matches!(
        read_features(dir.path()),
        Err(IdxError::Unreadable { .. })
    ));
}

#[test]
fn an_empty_file_is_named() {
    assert_eq!(message(&[]), "FILE is empty: copy or download it again");
}

#[test]
fn every_truncation_says_what_was_expected_and_found() {
    for cut in 1..IMAGES.len() {
        let expected = match cut {
            0..4 => 4,
            4..16 => 16,
            _ => IMAGES.len(),
        };
        assert_eq!(
            message(&IMAGES[..cut]),
            format!(
                "FILE is truncated: expected {expected} bytes, found {cut}; copy or download it again"
            )
        );
    }
}

#[test]
fn trailing_bytes_are_refused() {
    let mut bytes = IMAGES.to_vec();
    bytes.push(0);
    assert!(message(&bytes).starts_with("FILE continues after the 28 bytes"));
}

#[test]
fn other_formats_are_recognised_as_such() {
    assert_eq!(
        message(b"\x89PNG\r\n"),
        "FILE starts with the bytes 89 50 4e 47 where an IDX file starts with 00 00: is this really an IDX file?"
    );
    assert!(message(b"<").contains("the bytes 3c where"));
    assert!(message(&[0, 7]).contains("the bytes 00 07 where"));
}

#[test]
fn element_types_that_are_not_read_are_named() {
    let message = message(&[0, 0, 0x0e, 1, 0, 0, 0, 0]);
    assert_eq!(
        message,
        "FILE holds elements of type 0x0e (64-bit floats): convert them to unsigned bytes (0x08) or 32-bit floats (0x0d)"
    );
    assert!(matches!(
        labels_from_bytes("l", &[0, 0, 0x77, 1]),
        Err(IdxError::ElementType { found: 0x77, .. })
    ));
}

#[test]
fn shapes_that_hold_nothing_are_refused() {
    assert!(message(&[0, 0, 8, 0]).contains("no dimensions at all"));
    assert!(message(&[0, 0, 8, 1, 0, 0, 0, 0]).contains("shape [0], which holds no values"));
    assert!(message(&[0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 0]).contains("shape [1, 0]"));
}

#[test]
fn sizes_are_checked_before_anything_is_allocated() {
    let mut overflowing = vec![0, 0, 0x0d, 255];
    overflowing.extend([0xff; 4 * 255]);
    assert!(message(&overflowing).contains("more than the 8589934592 bytes allowed"));
    // Below the cap, and far above the length of the file.
    let promising = [0, 0, 8, 2, 0, 1, 0, 0, 0, 1, 0, 0, 1, 2];
    assert!(message(&promising).contains("expected 4294967308 bytes, found 14"));
    let dir = tempfile::tempdir().unwrap();
    let path = write_at(dir.path(), &IMAGES);
    assert!(read_features_limited(&path, 12).is_ok());
    assert!(matches!(
        read_features_limited(&path, 11),
        Err(IdxError::TooLarge { limit: 11, .. })
    ));
}

#[test]
fn damage_to_a_gzipped_file_never_goes_unnoticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("labels.gz");
    let labels: Vec<u32> = (0..500).map(|i| i * i % 10).collect();
    write_labels(&path, &labels, Packing::Gzip).unwrap();
    let whole = fs::read(&path).unwrap();
    for cut in 1..whole.len() {
        let error = labels_from_bytes("l", &whole[..cut]).unwrap_err();
        assert!(
            matches!(
                error,
                IdxError::Truncated { .. }
                    | IdxError::Gzip { .. }
                    | IdxError::Empty { .. }
                    | IdxError::WrongMagic { .. }
            ),
            "cut at {cut}: {error}"
        );
    }
    // From the first byte that is compressed; the gzip header carries a date that nobody needs.
    for at in 10..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1;
        assert!(labels_from_bytes("l", &flipped).is_err(), "flipped {at}");
    }
    let mut longer = whole.clone();
    longer.extend(b"garbage");
    assert!(matches!(
        labels_from_bytes("l", &longer),
        Err(IdxError::Gzip { .. })
    ));
}

fn features() -> impl Strategy<Value = Features> {
    let shape = prop::collection::vec(1_usize..5, 0..4);
    (shape, 1_usize..6, any::<bool>()).prop_flat_map(|(shape, count, bytes)| {
        let values = count * shape.iter().product::<usize>();
        let data = if bytes {
            prop::collection::vec(any::<u8>(), values)
                .prop_map(Data::U8)
                .boxed()
        } else {
            let float = prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO;
            prop::collection::vec(float, values)
                .prop_map(Data::F32)
                .boxed()
        };
        data.prop_map(move |data| Features::new(shape.clone(), data).unwrap())
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    #[test]
    fn features_round_trip(features in features(), gzip in any::<bool>()) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_features(&path, &features, packing(gzip)).unwrap();
        prop_assert_eq!(&read_features(&path).unwrap(), &features);
        let bytes = fs::read(&path).unwrap();
        prop_assert_eq!(&features_from_bytes("f", &bytes).unwrap(), &features);
    }

    #[test]
    fn labels_round_trip(
        labels in prop::collection::vec(0..=i32::MAX as u32, 1..40),
        small in any::<bool>(),
        gzip in any::<bool>(),
    ) {
        let labels: Vec<u32> = labels.iter().map(|l| if small { l % 300 } else { *l }).collect();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("l");
        write_labels(&path, &labels, packing(gzip)).unwrap();
        prop_assert_eq!(read_labels(&path).unwrap(), labels);
    }

    #[test]
    fn no_bytes_make_the_reader_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..64),
        start in prop::sample::select(vec![&[][..], &[0, 0, 8][..], &[0, 0, 0x0d, 1][..], &[0x1f, 0x8b, 8][..]]),
    ) {
        bytes.splice(0..0, start.iter().copied());
        let _ = features_from_bytes("f", &bytes);
        let _ = labels_from_bytes("l", &bytes);
    }
}
