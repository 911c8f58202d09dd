//! Training again without the suspects, or with the labels that they should most likely carry.
//!
//! `my-sidecar export RUN --out export` writes down what is to be done; the training applies it in one line. It follows
//! what people have said of suspects (`my-sidecar review`): what was cleared stays as it is, what was confirmed to be wrong
//! is left out, suspect or not, and what was relabelled is left out by [`without_suspects`], for its given label is wrong,
//! and gets the reviewer's label from [`relabelled`].
//!
//! ```
//! use burn::data::dataset::{Dataset, InMemDataset};
//! use mirrorwatch::cleaned::{relabelled, without_suspects};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("export.json");
//! # std::fs::write(&path, r#"{"schema":1,"run":"r","epoch":3,"step":30,"fingerprint":"","samples":3,"fdr":0.1,
//! #   "refusal":null,"suspects":[{"index":1,"id":"1","given":0,"suggested":7,"wrong_probability":0.9}]}"#)?;
//! // Pairs of an input and its label, of which the second one is a suspect.
//! let train = || InMemDataset::new(vec![("a", 0), ("b", 0), ("c", 1)]);
//! let clean = without_suspects(train(), &path)?;
//! assert_eq!((clean.len(), clean.get(1)?), (2, ("c", 1)));
//!
//! let corrected = relabelled(train(), &path, 0.5, |item, label| item.1 = label)?;
//! assert_eq!((corrected.len(), corrected.get(1)?), (3, ("b", 7)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::collections::HashMap;
use std::path::Path;

use burn::data::dataset::transform::SelectionDataset;
use burn::data::dataset::{Dataset, DatasetError};
use mirrorwatch_daemon::DaemonError;
use mirrorwatch_daemon::export::Export;

/// The samples of `dataset` that are neither suspects nor canaries, in their order, by the `export.json` at `path`; without
/// what reviewers have confirmed or relabelled, and with what they have cleared.
///
/// # Errors
///
/// A file that cannot be read, or one that was made for a data set of another length.
///
/// ```
/// # use burn::data::dataset::{Dataset, InMemDataset};
/// # use mirrorwatch::cleaned::{relabelled, without_suspects};
/// # let directory = tempfile::tempdir()?;
/// # let export = directory.path().join("export.json");
/// # std::fs::write(&export, r#"{"schema":1,"run":"r","epoch":3,"step":30,"fingerprint":"","samples":3,"fdr":0.1,
/// #   "refusal":null,"suspects":[{"index":1,"id":"1","given":0,"suggested":7,"wrong_probability":0.9}]}"#)?;
/// let clean = without_suspects(InMemDataset::new(vec!["a", "b", "c"]), &export)?;
/// assert_eq!((clean.len(), clean.get(0)?, clean.get(1)?), (2, "a", "c"));
/// // It is about three samples.
/// assert!(without_suspects(InMemDataset::new(vec!["a", "b"]), &export).is_err());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn without_suspects<D, I>(
    dataset: D,
    path: impl AsRef<Path>,
) -> Result<SelectionDataset<D, I>, DaemonError>
where
    D: Dataset<I>,
    I: Clone + Send + Sync,
{
    let export = fitting(dataset.len(), path.as_ref())?;
    Ok(SelectionDataset::from_indices_checked(
        dataset,
        export.kept(),
    ))
}

/// All samples of `dataset`, canaries and those suspects that are wrong with a chance of `least` or more with their suggested label,
/// which `relabel` puts into an item.
///
/// What reviewers say counts as certain, with chance 1: a cleared sample keeps its label, a relabelled one gets the
/// reviewer's, and a confirmed one the suggestion, which is the best there is for it.
///
/// # Errors
///
/// A file that cannot be read, or one that was made for a data set of another length.
///
/// ```
/// # use burn::data::dataset::{Dataset, InMemDataset};
/// # use mirrorwatch::cleaned::{relabelled, without_suspects};
/// # let directory = tempfile::tempdir()?;
/// # let export = directory.path().join("export.json");
/// # std::fs::write(&export, r#"{"schema":1,"run":"r","epoch":3,"step":30,"fingerprint":"","samples":3,"fdr":0.1,
/// #   "refusal":null,"suspects":[{"index":1,"id":"1","given":0,"suggested":7,"wrong_probability":0.9}]}"#)?;
/// let train = || InMemDataset::new(vec![("a", 0), ("b", 0), ("c", 1)]);
/// let likely = relabelled(train(), &export, 0.5, |item, label| item.1 = label)?;
/// assert_eq!(likely.get(1)?, ("b", 7));
/// let certain = relabelled(train(), &export, 1.0, |item, label| item.1 = label)?;
/// assert_eq!(certain.get(1)?, ("b", 0));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn relabelled<D, I, F>(
    dataset: D,
    path: impl AsRef<Path>,
    least: f32,
    relabel: F,
) -> Result<Relabelled<D, F>, DaemonError>
where
    D: Dataset<I>,
    F: Fn(&mut I, usize) + Send + Sync,
{
    let export = fitting(dataset.len(), path.as_ref())?;
    let labels = export
        .wrong()
        // Without classes there is no label to put in its place.
        .filter(|suspect| suspect.wrong_probability >= least && suspect.suggested != suspect.given)
        .map(|suspect| (suspect.index, suspect.suggested))
        .collect();
    Ok(Relabelled {
        dataset,
        labels,
        relabel,
    })
}

/// See [`relabelled`].
///
/// ```
/// # use burn::data::dataset::{Dataset, InMemDataset};
/// # use mirrorwatch::cleaned::{relabelled, without_suspects};
/// # let directory = tempfile::tempdir()?;
/// # let export = directory.path().join("export.json");
/// # std::fs::write(&export, r#"{"schema":1,"run":"r","epoch":3,"step":30,"fingerprint":"","samples":3,"fdr":0.1,
/// #   "refusal":null,"suspects":[{"index":1,"id":"1","given":0,"suggested":7,"wrong_probability":0.9}]}"#)?;
/// // It is a data set like the one it is made of.
/// let train = InMemDataset::new(vec![0, 0, 1]);
/// let corrected = relabelled(train, &export, 0.5, |item, label| *item = label)?;
/// assert_eq!(corrected.iter().collect::<Result<Vec<usize>, _>>()?, [0, 7, 1]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Relabelled<D, F> {
    dataset: D,
    labels: HashMap<usize, usize>,
    relabel: F,
}

impl<D, I, F> Dataset<I> for Relabelled<D, F>
where
    D: Dataset<I>,
    F: Fn(&mut I, usize) + Send + Sync,
{
    fn get(&self, index: usize) -> Result<I, DatasetError> {
        let mut item = self.dataset.get(index)?;
        if let Some(&label) = self.labels.get(&index) {
            (self.relabel)(&mut item, label);
        }
        Ok(item)
    }

    fn len(&self) -> usize {
        self.dataset.len()
    }
}

/// Another data set would lose other samples than the suspects, without a word.
fn fitting(samples: usize, path: &Path) -> Result<Export, DaemonError> {
    let export = Export::read(path)?;
    if export.samples == samples {
        return Ok(export);
    }
    Err(DaemonError::Read {
        path: path.to_path_buf(),
        message: format!(
            "it is about {} training samples and the data set has {samples}; export the run that was trained on it",
            export.samples
        ),
    })
}

#[cfg(test)]
mod tests {
    use burn::data::dataset::InMemDataset;
    use mirrorwatch_daemon::audit::Verdict;
    use mirrorwatch_daemon::export::{EXPORT_SCHEMA, Relabel, Reviewed};

    use super::*;

    fn written(samples: usize) -> std::io::Result<tempfile::TempDir> {
        let relabel = |index, wrong_probability| Relabel {
            index,
            suggested: 5,
            wrong_probability,
            ..Relabel::default()
        };
        let export = Export {
            schema: EXPORT_SCHEMA,
            run: "r".to_string(),
            epoch: 1,
            step: 1,
            fingerprint: String::new(),
            samples,
            fdr: 0.1,
            refusal: None,
            suspects: vec![relabel(2, 0.9), relabel(0, 0.4)],
            canaries: vec![],
            reviews: vec![],
        };
        let directory = tempfile::tempdir()?;
        let json = serde_json::to_vec(&export)?;
        std::fs::write(directory.path().join("export.json"), json)?;
        Ok(directory)
    }

    #[test]
    fn suspects_are_left_out_and_the_order_stays() {
        let directory = written(4).unwrap();
        let data = InMemDataset::new(vec![10, 11, 12, 13]);
        let clean = without_suspects(data, directory.path().join("export.json")).unwrap();
        let items: Vec<i32> = (0..clean.len()).map(|i| clean.get(i).unwrap()).collect();
        assert_eq!(items, [11, 13]);
    }

    #[test]
    fn only_sure_ones_are_relabelled() {
        let directory = written(3).unwrap();
        let data = InMemDataset::new(vec![0usize, 1, 2]);
        let path = directory.path().join("export.json");
        let found = relabelled(data, path, 0.5, |item, label| *item = label).unwrap();
        let items: Vec<usize> = (0..3).map(|i| found.get(i).unwrap()).collect();
        assert_eq!(items, [0, 1, 5]);
    }

    /// As `export` writes it down: what people say has chance 1, and what they cleared is no suspect.
    #[test]
    fn what_people_say_is_certain() {
        let directory = written(4).unwrap();
        let path = directory.path().join("export.json");
        let mut export = Export::read(&path).unwrap();
        export.suspects[0].wrong_probability = 1.0;
        export.suspects.truncate(1);
        export.reviews = vec![Reviewed {
            index: 2,
            id: String::new(),
            verdict: Verdict::Relabelled,
            label: Some(5),
            who: "ada".to_string(),
            time: 0.0,
            sequence: 1,
        }];
        std::fs::write(&path, serde_json::to_vec(&export).unwrap()).unwrap();
        let data = || InMemDataset::new(vec![0usize, 1, 2, 3]);
        let clean = without_suspects(data(), &path).unwrap();
        let items: Vec<usize> = (0..3).map(|i| clean.get(i).unwrap()).collect();
        assert_eq!((clean.len(), items), (3, vec![0, 1, 3]));
        let found = relabelled(data(), &path, 1.0, |item, label| *item = label).unwrap();
        let items: Vec<usize> = (0..4).map(|i| found.get(i).unwrap()).collect();
        assert_eq!(items, [0, 1, 5, 3]);
    }

    #[test]
    fn another_data_set_is_refused() {
        let directory = written(4).unwrap();
        let data = InMemDataset::new(vec![0; 5]);
        let path = directory.path().join("export.json");
        let error = without_suspects(data, path).err().unwrap().to_string();
        assert!(
            error.contains("4 training samples and the data set has 5"),
            "{error}"
        );
    }
}
