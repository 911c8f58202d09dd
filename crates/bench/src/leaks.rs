//! How well leaked samples are found: copies of probe images planted in the training set of Fashion-MNIST.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use clap::Args;
use mirrorwatch::stock::IdxTask;
use mirrorwatch_idx::{Data, Features};
use mirrorwatch_influence::exact::Exact;
use mirrorwatch_influence::leaks::{LeakOptions, Pair, leaks};
use mirrorwatch_influence::{Labels, Layers, Set, SweepOptions, sweep};
use quickstart::data::Source;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::deal::{Part, deal, write};
use crate::grid::{Cell, Overrides, cells};
use crate::setup::defaults;
use crate::train::Trainer;

/// What to measure.
#[derive(Args)]
pub struct LeakBench {
    /// Seeds of samples, copies, weights and batches
    #[arg(
        long,
        value_name = "N,…",
        value_delimiter = ',',
        default_value = "0,1,2"
    )]
    pub seeds: Vec<u64>,

    /// Epochs of the training
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub epochs: usize,

    /// Training samples
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub train: usize,

    /// Copies that are planted
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub copies: usize,

    /// Pixels that the search allows for; copies are shifted by up to 2 whatever this says
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub leak_shift: u32,

    /// What is planted; may be repeated
    #[arg(long, value_name = "KIND", default_values = ["none", "exact", "shifted"], value_parser = ["none", "exact", "shifted"])]
    pub kind: Vec<String>,
}

/// Most pixels that a copy is shifted by.
const SHIFT: i32 = 2;
/// Standard deviation of the noise on a shifted copy, in grey values of 256.
const NOISE: f64 = 8.0;
/// Side of an image.
const SIDE: i32 = 28;

/// Runs all kinds and seeds and prints a table.
///
/// # Errors
///
/// What kept it from its end, in words.
pub fn run(options: &LeakBench) -> Result<(), String> {
    println!(
        "| planted | seed | accuracy on training set | nearest is the copy | stands out (.8) | stand-out of copies: least, 5 % | false pairs | largest stand-out of others |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for kind in &options.kind {
        for &seed in &options.seeds {
            measure(kind, seed, options)?;
        }
    }
    Ok(())
}

fn measure(kind: &str, seed: u64, options: &LeakBench) -> Result<(), String> {
    let cell = cell(seed, options.train)?;
    let source = Source::embedded().map_err(|error| error.to_string())?;
    let (mut train, probe) = deal(&source, &cell)?;
    let partners = plant(kind, seed, options.copies, &mut train, &probe)?;
    let work = std::env::temp_dir().join(format!("mirrorwatch-leaks-{}", std::process::id()));
    let task = open(&work, (&train, &probe), &cell, options.leak_shift);
    // What cannot be removed does no harm.
    let _ = std::fs::remove_dir_all(&work);
    let task = task?;
    let labels = Labels::read(&task).map_err(|error| error.to_string())?;
    let everything: Vec<usize> = (0..labels.train.len()).collect();
    let mut trainer = Trainer::new(&task, everything.clone(), &cell.settings, seed);
    for _ in 0..options.epochs {
        trainer.epoch()?;
    }
    let model = trainer.model();
    let forward = SweepOptions {
        device: &Device::flex(),
        batch_size: 500,
        progress: &|_| (),
        cancel: &AtomicBool::new(false),
    };
    let failed = |error: mirrorwatch_influence::InfluenceError| error.to_string();
    let outputs = sweep(
        &task,
        &model,
        Set::Training,
        &everything,
        &labels.train,
        &forward,
    );
    let accuracy = outputs.map_err(failed)?.accuracy(&labels.train);
    let exact = Exact::new(&task, &model, &labels, Layers::All, &forward).map_err(failed)?;
    let probes: Vec<usize> = (0..labels.probe.len()).collect();
    let how = LeakOptions::default();
    let near = leaks(&task, &model, &labels, &exact, &probes, &how, &forward).map_err(failed)?;
    println!(
        "{}",
        row(kind, seed, accuracy, &near, &partners, how.threshold)
    );
    Ok(())
}

/// A line of the table.
fn row(
    kind: &str,
    seed: u64,
    accuracy: f64,
    near: &[Vec<Pair>],
    partners: &[Option<usize>],
    threshold: f64,
) -> String {
    let (mut first, mut found, mut false_pairs) = (0, 0, 0);
    let (mut copies, mut largest) = (Vec::new(), 0.0f64);
    for (pairs, partner) in near.iter().zip(partners) {
        let own = pairs.iter().position(|p| Some(p.train) == *partner);
        if partner.is_some() {
            first += usize::from(own == Some(0));
            let stand_out = own.map_or(0.0, |place| pairs[place].stand_out);
            found += usize::from(stand_out >= threshold);
            copies.push(stand_out);
        }
        for (place, pair) in pairs.iter().enumerate() {
            if own != Some(place) {
                false_pairs += usize::from(pair.stand_out >= threshold);
                largest = largest.max(pair.stand_out);
            }
        }
    }
    copies.sort_by(f64::total_cmp);
    let planted = copies.len();
    let at = |share: f64| copies.get((planted as f64 * share) as usize);
    let figure = |value: Option<&f64>| value.map_or("-".to_string(), |v| format!("{v:.3}"));
    format!(
        "| {kind} | {seed} | {accuracy:.3} | {first} of {planted} | {found} | {}, {} | {false_pairs} | {largest:.3} |",
        figure(at(0.0)),
        figure(at(0.05)),
    )
}

/// Settings of the Fashion-MNIST CNN, without noise or trusted samples.
fn cell(seed: u64, train: usize) -> Result<Cell, String> {
    let overrides = Overrides {
        train: Some(train),
        trusted: Some(0),
        ..Overrides::default()
    };
    let cells = cells(false, &[seed], &["none".to_string()], &overrides);
    let mut cells = cells.into_iter();
    cells
        .find(|cell| cell.dataset.name == "fashion-mnist")
        .ok_or_else(|| "there is no Fashion-MNIST in the grid".to_string())
}

fn open(
    work: &Path,
    (train, probe): (&Part, &Part),
    cell: &Cell,
    leak_shift: u32,
) -> Result<IdxTask, String> {
    std::fs::create_dir_all(work)
        .map_err(|error| format!("cannot make {}: {error}", work.display()))?;
    write(work, "train", train, &train.labels)?;
    write(work, "t10k", probe, &probe.labels)?;
    let mut stock = defaults(work);
    stock.model = cell.dataset.architecture;
    stock.probe = usize::MAX;
    stock.leak_shift = leak_shift;
    IdxTask::open(&stock).map_err(|error| error.to_string())
}

/// Puts copies of probe samples, with their labels, in the place of training samples; says for each probe sample
/// where its copy is.
fn plant(
    kind: &str,
    seed: u64,
    copies: usize,
    train: &mut Part,
    probe: &Part,
) -> Result<Vec<Option<usize>>, String> {
    let mut partners = vec![None; probe.labels.len()];
    if kind == "none" {
        return Ok(partners);
    }
    let (Data::U8(from), Data::U8(to)) = (probe.features.data(), train.features.data()) else {
        return Err("the images are not bytes".to_string());
    };
    let mut values = to.clone();
    let size = train.features.sample_len();
    let mut rng = StdRng::seed_from_u64(seed);
    let (apart, beside) = (train.labels.len() / copies, probe.labels.len() / copies);
    if apart == 0 || beside == 0 {
        return Err(format!("there is no room for {copies} copies"));
    }
    for copy in 0..copies {
        let (place, sample) = (copy * apart, copy * beside);
        let image = &from[sample * size..][..size];
        let image = match kind {
            "shifted" => shifted(image, &mut rng),
            _ => image.to_vec(),
        };
        values[place * size..][..size].copy_from_slice(&image);
        train.labels[place] = probe.labels[sample];
        partners[sample] = Some(place);
    }
    let features = Features::new(train.features.shape().to_vec(), Data::U8(values));
    train.features = features.map_err(|error| error.to_string())?;
    Ok(partners)
}

/// The image shifted by up to [`SHIFT`] pixels each way, with noise on every pixel.
fn shifted(image: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let right = rng.random_range(-SHIFT..=SHIFT);
    let down = rng.random_range(-SHIFT..=SHIFT);
    let inside = 0..SIDE;
    let mut moved = Vec::with_capacity(image.len());
    for y in 0..SIDE {
        for x in 0..SIDE {
            let (from_x, from_y) = (x - right, y - down);
            let value = if inside.contains(&from_x) && inside.contains(&from_y) {
                image[(from_y * SIDE + from_x) as usize]
            } else {
                0
            };
            // Twelve uniform numbers add up to one that is as good as normal, of variance 1.
            let normal: f64 = (0..12).map(|_| rng.random_range(-0.5..0.5)).sum();
            moved.push((f64::from(value) + NOISE * normal).clamp(0.0, 255.0) as u8);
        }
    }
    moved
}
