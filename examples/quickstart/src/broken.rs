//! A data pipeline that breaks while a training runs: from some epoch on, labels of one source are fed
//! wrong, while the files, which the sidecar reads, stay as they are.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::data::dataset::{Dataset, DatasetError};
use mirrorwatch::stock::{Sample, Samples};
use rand::rngs::StdRng;
use rand::seq::index;
use rand::{RngExt, SeedableRng};

/// Other labels than those that the noise and the trusted set draw.
const BREAK_STREAM: u64 = 0x6272_6561_6b00_0000;

/// Which source breaks when: `SOURCE@EPOCH:SHARE`.
#[derive(Debug, Clone, PartialEq)]
pub struct Break {
    /// The source, as the file of sources names it.
    pub source: String,
    /// The first epoch, from 2 on, in which its labels are wrong.
    pub epoch: usize,
    /// The share of its labels that are, above 0 and at most 1.
    pub share: f64,
}

impl FromStr for Break {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // From the right: a source may be called anything.
        let parts = text
            .rsplit_once(':')
            .and_then(|(rest, share)| Some((rest.rsplit_once('@')?, share)));
        let Some(((source, epoch), share)) = parts else {
            return Err("must look like SOURCE@EPOCH:SHARE, e.g. carl@5:0.6".to_string());
        };
        let epoch = match epoch.parse() {
            Ok(epoch) if epoch >= 2 => epoch,
            _ => return Err("the epoch must be a whole number from 2 upwards".to_string()),
        };
        let share = match share.parse() {
            Ok(share) if share > 0.0 && share <= 1.0 => share,
            _ => return Err("the share must be a number above 0, at most 1".to_string()),
        };
        Ok(Self {
            source: source.to_string(),
            epoch,
            share,
        })
    }
}

/// The training samples as a training with a broken pipeline gets them.
///
/// A data set is not told which epoch it is. But each epoch of a training serves each sample once, so the
/// number of samples served tells. That holds where samples are fetched in the training's own thread, or
/// at least not before their epoch, as Burn's data loaders do without workers.
pub struct Broken {
    samples: Arc<Samples>,
    /// The wrong label of each sample that is to have one.
    wrong: BTreeMap<usize, usize>,
    /// Samples to serve as they are.
    sound: usize,
    served: AtomicUsize,
}

impl Broken {
    /// Breaks `samples` of `classes` classes as `how` says; `sources` is the source of each sample.
    ///
    /// The share is rounded to whole samples; each gets a random other label, the same in all epochs.
    ///
    /// # Errors
    ///
    /// A source that no sample has, or classes among which there is no other label, in words.
    pub fn new(
        samples: Arc<Samples>,
        sources: &[Option<String>],
        classes: usize,
        how: &Break,
        seed: u64,
    ) -> Result<Self, String> {
        let mut of_it = Vec::new();
        for (sample, source) in sources.iter().enumerate() {
            if source.as_ref() == Some(&how.source) {
                of_it.push(sample);
            }
        }
        if of_it.is_empty() || classes < 2 {
            return Err(format!(
                "cannot break the source {:?}: no training sample is from it; name one of --sources with --break-source",
                how.source
            ));
        }
        let amount = (how.share * of_it.len() as f64).round() as usize;
        let mut rng = StdRng::seed_from_u64(seed ^ BREAK_STREAM);
        let mut wrong = BTreeMap::new();
        for place in index::sample(&mut rng, of_it.len(), amount) {
            let sample = of_it[place];
            let given = samples.get(sample).map_err(|e| e.to_string())?.label;
            let other = rng.random_range(0..classes - 1);
            wrong.insert(sample, if other < given { other } else { other + 1 });
        }
        Ok(Self {
            sound: (how.epoch - 1) * samples.len(),
            samples,
            wrong,
            served: AtomicUsize::new(0),
        })
    }
}

impl Dataset<Sample> for Broken {
    fn get(&self, index: usize) -> Result<Sample, DatasetError> {
        let mut sample = self.samples.get(index)?;
        if self.served.fetch_add(1, Ordering::Relaxed) >= self.sound
            && let Some(&label) = self.wrong.get(&index)
        {
            sample.label = label;
        }
        Ok(sample)
    }

    fn len(&self) -> usize {
        self.samples.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::data::dataloader::DataLoaderBuilder;
    use mirrorwatch::idx::{Data, Features, Packing, write_features, write_labels};
    use mirrorwatch::stock::{Architecture, IdxTask, SampleBatcher, StockArgs};

    #[test]
    fn a_break_is_read_from_the_right() {
        let read = |text: &str| text.parse::<Break>();
        let expected = Break {
            source: "a:b@c d".to_string(),
            epoch: 5,
            share: 0.6,
        };
        assert_eq!(read("a:b@c d@5:0.6"), Ok(expected));
        for (text, problem) in [
            ("carl", "SOURCE@EPOCH:SHARE"),
            ("carl:0.5", "SOURCE@EPOCH:SHARE"),
            ("carl@1:0.5", "the epoch"),
            ("carl@x:0.5", "the epoch"),
            ("carl@2:0", "the share"),
            ("carl@2:1.1", "the share"),
            ("carl@2:NaN", "the share"),
        ] {
            let message = read(text).unwrap_err();
            assert!(message.contains(problem), "{text}: {message}");
        }
    }

    /// Twenty samples in two classes whose only value is their position.
    fn task(directory: &std::path::Path) -> IdxTask {
        let labels: Vec<u32> = (0..20).map(|i| i % 2).collect();
        let values = (0..20).map(|i| i as f32).collect();
        let features = Features::new(vec![1], Data::F32(values)).unwrap();
        for stem in ["train", "t10k"] {
            let at = |kind: &str| directory.join(format!("{stem}-{kind}.idx"));
            write_features(at("features"), &features, Packing::Plain).unwrap();
            write_labels(at("labels"), &labels, Packing::Plain).unwrap();
        }
        IdxTask::open(&StockArgs {
            data: directory.to_path_buf(),
            inputs: None,
            labels: None,
            model: Architecture::Mlp,
            probe: 20,
            train_limit: None,
            trusted: None,
            canaries: None,
            sources: None,
            classes: None,
            class_names: Vec::new(),
            leak_shift: 2,
        })
        .unwrap()
    }

    /// As a training sees it: through Burn's own loader, shuffled, in batches that do not divide the set.
    #[test]
    fn labels_are_wrong_from_the_epoch_on_and_of_the_source_only() {
        let directory = tempfile::tempdir().unwrap();
        let task = task(directory.path());
        let sources: Vec<Option<String>> = (0..20)
            .map(|i| (i < 10).then(|| "carl".to_string()))
            .collect();
        let how = "carl@3:0.5".parse().unwrap();
        let broken = Broken::new(task.train_samples(), &sources, 2, &how, 7).unwrap();
        let wrong = broken.wrong.clone();
        assert_eq!(wrong.len(), 5);
        assert!(wrong.keys().all(|&sample| sample < 10));
        let loader = DataLoaderBuilder::new(SampleBatcher)
            .batch_size(7)
            .shuffle(1)
            .build(broken);
        for epoch in 1..=4 {
            let mut ones = 0;
            for batch in loader.iter() {
                let labels = batch.unwrap().targets.into_data();
                ones += labels.iter::<i64>().sum::<i64>();
            }
            // By hand: ten of twenty, and each wrong label is 1 for 0 or 0 for 1.
            let shift: i64 = wrong.values().map(|&label| 2 * label as i64 - 1).sum();
            assert_eq!(
                ones,
                if epoch < 3 { 10 } else { 10 + shift },
                "epoch {epoch}"
            );
        }
        let nobody = "dora@3:0.5".parse().unwrap();
        let refused = Broken::new(task.train_samples(), &sources, 2, &nobody, 7).err();
        let message = refused.unwrap();
        assert!(message.contains("\"dora\""), "{message}");
    }
}
