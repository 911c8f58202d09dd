#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn names(classes: usize) -> Vec<String> {
    (0..classes).map(|class| class.to_string()).collect()
}

fn changed(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).filter(|(a, b)| a != b).count()
}

#[test]
fn the_three_forms_are_read_and_shown() {
    for (text, noise) in [
        ("none", Noise::None),
        ("sym:0.2", Noise::Symmetric(0.2)),
        ("asym:0", Noise::Asymmetric(0.0)),
    ] {
        assert_eq!(Noise::parse(text), Ok(noise));
        assert_eq!(noise.to_string(), text);
    }
    for text in ["", "sym", "None", "none:0.1", "flip:0.1", "0.2"] {
        assert_eq!(Noise::parse(text), Err(NoiseError::Kind(text.into())));
    }
    for text in [
        "sym:",
        "sym:1",
        "asym:-0.1",
        "sym:NaN",
        "sym:20%",
        "sym:0,2",
    ] {
        let error = Noise::parse(text).unwrap_err();
        assert_eq!(error, NoiseError::Rate(text.into()));
        assert!(error.to_string().contains("from 0 up to"));
    }
}

#[test]
fn fashion_is_mistaken_for_what_looks_alike() {
    let fashion: Vec<String> = FASHION_MNIST.map(String::from).to_vec();
    let labels: Vec<u32> = (0..1000).map(|i| i % 10).collect();
    let noisy = Noise::Asymmetric(0.999).apply(&labels, &fashion, 1);
    for (label, other) in labels.iter().zip(&noisy) {
        assert!(other == label || *other == LOOK_ALIKE[*label as usize]);
    }
    for (class, look_alike) in LOOK_ALIKE.iter().enumerate() {
        assert_ne!(class, *look_alike as usize);
    }
    assert_eq!(FASHION_MNIST[LOOK_ALIKE[6] as usize], "T-shirt/top");
    assert_eq!(FASHION_MNIST[LOOK_ALIKE[2] as usize], "Coat");
}

#[test]
fn random_labels_are_spread_over_all_others() {
    let noisy = Noise::Symmetric(0.9).apply(&[3; 10_000], &names(10), 5);
    for class in (0..10).filter(|class| *class != 3) {
        let count = noisy.iter().filter(|label| **label == class).count();
        assert!((880..1120).contains(&count), "class {class}: {count}");
    }
}

#[test]
fn trusted_samples_are_drawn_apart_from_the_wrong_ones() {
    let truth = vec![0; 1000];
    let noisy = Noise::Symmetric(0.3).apply(&truth, &names(4), 9);
    let mut given = noisy.clone();
    trusted(300, 9, &truth, &mut given).unwrap();
    let corrected = changed(&noisy, &given);
    assert!((60..120).contains(&corrected), "{corrected} of 300");
}

#[test]
fn more_than_all_samples_cannot_be_trusted() {
    let error = trusted(3, 0, &[0, 1], &mut [0, 1]).unwrap_err();
    let words = "cannot trust 3 of 2 training samples: ask for at most 2";
    assert_eq!(error.to_string(), words);
}

proptest! {
    #[test]
    fn exactly_the_asked_share_is_wrong(
        labels in prop::collection::vec(0_u32..7, 0..300),
        rate in 0.0..1.0_f64,
        seed: u64,
        random: bool,
    ) {
        let noise = if random { Noise::Symmetric(rate) } else { Noise::Asymmetric(rate) };
        let noisy = noise.apply(&labels, &names(7), seed);
        let wanted = (rate * labels.len() as f64).round() as usize;
        prop_assert_eq!(changed(&labels, &noisy), wanted);
        prop_assert!(noisy.iter().all(|label| *label < 7));
        prop_assert_eq!(&noisy, &noise.apply(&labels, &names(7), seed));
        if !random {
            let next = |(a, b): (&u32, &u32)| a == b || (a + 1) % 7 == *b;
            prop_assert!(labels.iter().zip(&noisy).all(next));
        }
    }

    #[test]
    fn trusted_samples_are_right_sorted_and_alone(
        pairs in prop::collection::vec((0_u32..5, 0_u32..5), 1..200),
        share in 0.0..=1.0_f64,
        seed: u64,
    ) {
        let (truth, before): (Vec<u32>, Vec<u32>) = pairs.into_iter().unzip();
        let mut given = before.clone();
        let n = (share * truth.len() as f64) as usize;
        let chosen = trusted(n, seed, &truth, &mut given).unwrap();
        prop_assert_eq!(chosen.len(), n);
        prop_assert!(chosen.windows(2).all(|pair| pair[0] < pair[1]));
        for sample in 0..truth.len() {
            let trust = chosen.binary_search(&sample).is_ok();
            let wanted = if trust { truth[sample] } else { before[sample] };
            prop_assert_eq!(given[sample], wanted);
        }
    }
}
