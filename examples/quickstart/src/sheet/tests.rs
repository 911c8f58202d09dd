#![allow(clippy::unwrap_used)]

use embedded_graphics::pixelcolor::RgbColor;
use proptest::prelude::*;
use tempfile::tempdir;

use super::*;

fn tile(shape: &[usize], values: Vec<f32>) -> Tile {
    Tile {
        index: 1234,
        shape: shape.to_vec(),
        values,
        given: "Shirt".into(),
        suggested: "Coat".into(),
        score: 3.25,
        p_value: 2e-5,
        mislabelled: Some(true),
    }
}

#[test]
fn the_file_is_a_png_of_the_right_size() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("sheet.png");
    let items = vec![tile(&[2, 2], vec![0.0, 1.0, 1.0, 0.0]); 12];
    contact_sheet("title", &items, &path).unwrap();
    let file = std::io::BufReader::new(fs::File::open(&path).unwrap());
    let mut reader = png::Decoder::new(file).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    let width = 2 * MARGIN + 5 * SIDE + 4 * GAP;
    assert_eq!(info.width, width as u32);
    assert_eq!(info.color_type, png::ColorType::Rgb);
    assert_eq!(pixels[..3], [PAPER.r(), PAPER.g(), PAPER.b()]);
}

#[test]
fn pixels_become_squares() {
    let canvas = draw("", &[tile(&[2, 2], vec![0.0, 1.0, 0.2, 0.4])]);
    let at = |x, y| canvas.pixel(MARGIN + x, HEAD + y).r();
    assert_eq!(at(0, 0), 0);
    assert_eq!(at(83, 83), 0);
    assert_eq!(at(84, 83), 255);
    assert_eq!(at(0, 84), 51);
    assert_eq!(at(167, 167), 102);
}

#[test]
fn colours_are_averaged_wherever_the_channels_lie() {
    let first = tile(&[3, 2, 2], (0..12).map(|i| i as f32 / 12.0).collect());
    let last = [0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11];
    let last = tile(&[2, 2, 3], last.map(|i| i as f32 / 12.0).to_vec());
    let pixels = |tile| draw("", &[tile]).encode().unwrap();
    assert_eq!(pixels(first), pixels(last));
}

#[test]
fn marks_and_legend_are_there_only_where_the_truth_is_known() {
    let has = |known, ink| {
        let mut tile = tile(&[2], vec![1.0, -1.0]);
        tile.mislabelled = known;
        let canvas = draw("", &[tile]);
        (HEAD..HEAD + SIDE).any(|y| (MARGIN..MARGIN + SIDE).any(|x| canvas.pixel(x, y) == ink))
    };
    assert!(has(Some(true), GREEN) && !has(Some(true), RED));
    assert!(has(Some(false), RED) && !has(Some(false), GREEN));
    assert!(!has(None, GREEN) && !has(None, RED));
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("nowhere/sheet.png");
    let error = contact_sheet("", &[], &path).unwrap_err().to_string();
    let start = format!("cannot write {}: ", path.display());
    assert!(error.starts_with(&start), "{error}");
}

#[test]
fn numbers_stay_short() {
    assert_eq!(number(12.345), "12.35");
    assert_eq!(number(-123_456.0), "-1.2e5");
    assert_eq!(p_value(0.0123), "0.012");
    assert_eq!(p_value(0.000_02), "2e-5");
    assert_eq!(cut("Ankle boot", 10), "Ankle boot");
    assert_eq!(cut("Ankle boots", 10), "Ankle bo..");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn anything_can_be_drawn(
        shape in prop::collection::vec(0_usize..9, 0..4),
        length in 0_usize..300,
        value in prop::num::f32::ANY,
        name in ".{0,40}",
        p_value in prop::num::f64::ANY,
        index: usize,
    ) {
        let fitting = shape.iter().product::<usize>();
        for length in [length, fitting] {
            let mut tile = tile(&shape, vec![value; length]);
            tile.given = name.clone();
            tile.suggested = name.clone();
            tile.score = value;
            tile.p_value = p_value;
            tile.index = index;
            draw(&name, &[tile]);
        }
    }
}
