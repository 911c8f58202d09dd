//! A cell's data: samples, wrong labels, trusted samples, and the product's own task over them.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::path::Path;

use clap::Parser;
use mirrorwatch::stock::{IdxTask, StockArgs};
use mirrorwatch_idx::Features;
use mirrorwatch_influence::Labels;
use quickstart::data::Source;
use quickstart::noise;

use crate::deal::{deal, write};
use crate::grid::Cell;
use crate::labels::LabelNoise;

/// What a cell trains on and is judged by.
pub struct Setup {
    /// The task, as a sidecar would have it.
    pub task: IdxTask,
    /// Its labels, as a scan reads them.
    pub labels: Labels,
    /// The right label of each training sample.
    pub truth: Vec<usize>,
    /// Whether each training sample's given label is wrong.
    pub wrong: Vec<bool>,
    /// The annotator of each training sample.
    pub annotators: Vec<usize>,
}

impl Setup {
    /// Makes the data of `cell` from the files in `data`, or from what is built in where there is none.
    ///
    /// `work` is a directory for files that are needed meanwhile; it is removed again.
    ///
    /// # Errors
    ///
    /// Data that cannot be used, in words.
    pub fn new(cell: &Cell, data: Option<&Path>, work: &Path) -> Result<Self, String> {
        let result = Self::within(cell, data, work);
        // It may not exist, and what cannot be removed does no harm.
        let _ = std::fs::remove_dir_all(work);
        result
    }

    fn within(cell: &Cell, data: Option<&Path>, work: &Path) -> Result<Self, String> {
        let settings = &cell.settings;
        let source = match data {
            Some(directory) => Source::open(directory),
            None => Source::embedded(),
        }
        .map_err(|error| error.to_string())?;
        let (train, mut probe) = deal(&source, cell)?;
        let truth = train.labels.clone();
        let given =
            LabelNoise::parse(&settings.noise)?.apply(&truth, &source.class_names, settings.seed);
        let mut labels = given.labels;
        let noisy = labels.clone();
        let mut trusted = noise::trusted(settings.trusted, settings.seed, &truth, &mut labels)
            .map_err(|error| error.to_string())?;
        // The product refuses a trusted sample that is in the probe, too; BANKING77 has some.
        let probe_contents = contents(&probe.features);
        trusted.retain(|&sample| {
            let twice = probe_contents.contains(&content(&train.features, sample));
            if twice {
                labels[sample] = noisy[sample];
            }
            !twice
        });
        if let Some(noise) = &settings.probe_noise {
            probe.labels = LabelNoise::parse(noise)?
                .apply(&probe.labels, &source.class_names, !settings.seed)
                .labels;
        }
        std::fs::create_dir_all(work)
            .map_err(|error| format!("cannot make {}: {error}", work.display()))?;
        let files = write(work, "train", &train, &labels)?;
        // Found beside the others by its usual name.
        write(work, "t10k", &probe, &probe.labels)?;
        let trusted_file = work.join("trusted.txt");
        write_lines(&trusted_file, &trusted)?;
        let sources_file = work.join("sources.txt");
        write_lines(&sources_file, &given.annotators)?;
        let mut stock = defaults(work);
        stock.inputs = Some(files.features);
        stock.labels = Some(files.labels);
        stock.model = cell.dataset.architecture;
        stock.probe = usize::MAX;
        stock.trusted = (!trusted.is_empty()).then_some(trusted_file);
        stock.sources = Some(sources_file);
        stock.classes = Some(source.classes);
        stock.class_names.clone_from(&source.class_names);
        let task = IdxTask::open(&stock).map_err(|error| error.to_string())?;
        Ok(Self {
            labels: Labels::read(&task).map_err(|error| error.to_string())?,
            task,
            wrong: truth.iter().zip(&labels).map(|(t, g)| t != g).collect(),
            truth: truth.into_iter().map(|label| label as usize).collect(),
            annotators: given.annotators,
        })
    }
}

impl Setup {
    /// The labels when nobody has verified anything: trusted samples are judged like the rest.
    pub fn untrusted(&self) -> Labels {
        Labels {
            trusted: Vec::new(),
            ..self.labels.clone()
        }
    }
}

/// The exact content of a sample.
fn content(features: &Features, sample: usize) -> Vec<u32> {
    let values = features.sample(sample).unwrap_or_default();
    values.into_iter().map(f32::to_bits).collect()
}

/// The contents of all samples.
fn contents(features: &Features) -> HashSet<Vec<u32>> {
    (0..features.count())
        .map(|sample| content(features, sample))
        .collect()
}

/// The stock task's options as they are when only the directory is given.
pub fn defaults(data: &Path) -> StockArgs {
    #[derive(Parser)]
    struct Defaults {
        #[command(flatten)]
        stock: StockArgs,
    }
    Defaults::parse_from([
        OsStr::new("defaults"),
        OsStr::new("--data"),
        data.as_os_str(),
    ])
    .stock
}

fn write_lines(path: &Path, numbers: &[usize]) -> Result<(), String> {
    let mut text = String::new();
    for number in numbers {
        text.push_str(&format!("{number}\n"));
    }
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::grid::{Overrides, cells};

    fn with(noise: &str, train: usize, trusted: usize) -> Setup {
        let overrides = Overrides {
            train: Some(train),
            trusted: Some(trusted),
            ..Overrides::default()
        };
        let cell = cells(true, &[0], &[noise.to_string()], &overrides).remove(0);
        let work = tempfile::tempdir().unwrap();
        let setup = Setup::new(&cell, None, &work.path().join("work")).unwrap();
        assert!(!work.path().join("work").exists());
        setup
    }

    /// A few samples of Fashion-MNIST without noise.
    pub fn small() -> Setup {
        with("none", 100, 0)
    }

    #[test]
    fn trusted_samples_are_right_and_the_noise_is_where_it_was_put() {
        let setup = with("sym-0.2", 600, 60);
        assert_eq!(setup.labels.train.len(), 600);
        assert_eq!(setup.labels.probe.len(), 500);
        assert_eq!(setup.labels.trusted.len(), 60);
        assert!(setup.labels.trusted.iter().all(|&i| !setup.wrong[i]));
        // 20 % of 600 are 120; each is trusted, and right again, with a chance of one in ten.
        let wrong = setup.wrong.iter().filter(|wrong| **wrong).count();
        assert!((90..=120).contains(&wrong), "{wrong}");
        for i in 0..600 {
            assert_eq!(setup.wrong[i], setup.labels.train[i] != setup.truth[i]);
        }
    }
}
