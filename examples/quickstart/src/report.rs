//! What the demo leaves behind: the summary for scripts, the suspects, and the picture.

use std::path::Path;

use mirrorwatch::daemon::onset;
use mirrorwatch::daemon::results::{SampleScore, Suspect};
use mirrorwatch::daemon::summary::SourceCount;
use quickstart::data::Source;
use quickstart::noise::Noise;
use serde::Serialize;

use crate::demo::Labels;
use crate::follow::{self, Checkpoint, Follower};
use crate::options::Options;
use crate::retrain::Retrained;
use crate::sheet::{self, Tile};

/// The summary file. Fields that need the truth are null without it.
#[derive(Serialize)]
struct Report<'a> {
    samples: usize,
    probe: usize,
    classes: usize,
    noise_true: f64,
    checkpoints: &'a [Checkpoint],
    #[serde(rename = "final")]
    last: Option<&'a Checkpoint>,
    /// Only with `--sources`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    sources: Vec<SourceRow<'a>>,
    /// Only with `--retrain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    retrained: Option<&'a Retrained>,
    scrape: &'a str,
}

/// One source in the summary file.
#[derive(Serialize)]
struct SourceRow<'a> {
    source: &'a str,
    samples: usize,
    suspects: usize,
    flagged: bool,
}

/// One row of `--suspects`.
#[derive(Serialize)]
struct SuspectRow<'a> {
    id: &'a str,
    given: usize,
    suggested: u32,
    score: f32,
    p_value: f64,
    first_flagged_epoch: Option<u32>,
    fitted_epoch: Option<u32>,
    source: Option<&'a str>,
}

/// Writes the files that were asked for, draws the most suspicious samples, and says where everything is.
///
/// # Errors
///
/// A result that cannot be read or a file that cannot be written, in words.
pub fn write(
    options: &Options,
    source: &Source,
    labels: &Labels,
    follower: &Follower<'_>,
    scrape: &str,
    retrained: Option<&Retrained>,
    picture: &Path,
) -> Result<(), String> {
    if let Some(path) = &options.summary {
        write_summary(path, options, source, labels, follower, scrape, retrained)?;
    }
    let (Some(last), Some(summary)) = (
        follower.checkpoints.last(),
        follower.seen.iter().next_back(),
    ) else {
        return Ok(());
    };
    let list = summary.with_extension("suspects.csv");
    if let Some(path) = &options.suspects {
        write_suspects(&list, path)?;
    }
    let scores = follow::read_scores(&summary.with_extension("scores.csv"))?;
    let tiles = tiles(options, source, labels, &scores);
    let title = format!(
        "{} most suspicious of {} samples, epoch {}",
        tiles.len(),
        labels.given.len(),
        last.epoch
    );
    sheet::contact_sheet(&title, &tiles, picture).map_err(|e| e.to_string())?;
    for flagged in follower.sources.iter().filter(|s| s.flagged) {
        say!(
            "source {} stands out: {} of its {} labels are suspicious, {:.0} were to be expected",
            flagged.source,
            flagged.suspects,
            flagged.samples,
            flagged.expected_suspects
        );
    }
    for onset in &follower.onsets {
        say!("{}", onset::sentence(onset));
    }
    say!("suspects: {}", list.display());
    say!("picture:  {}", picture.display());
    say!("summary:  {}", summary.display());
    Ok(())
}

fn write_summary(
    path: &Path,
    options: &Options,
    source: &Source,
    labels: &Labels,
    follower: &Follower<'_>,
    scrape: &str,
    retrained: Option<&Retrained>,
) -> Result<(), String> {
    let scored = labels.given.len() - labels.known.len();
    let wrong = labels.wrong.iter().filter(|w| **w).count();
    let report = Report {
        samples: labels.given.len(),
        probe: options.probe.min(source.test_labels.len()),
        classes: source.classes,
        noise_true: wrong as f64 / scored.max(1) as f64,
        checkpoints: &follower.checkpoints,
        last: follower.checkpoints.last(),
        sources: follower.sources.iter().map(row).collect(),
        retrained,
        scrape,
    };
    let text = serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?;
    std::fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

fn row(count: &SourceCount) -> SourceRow<'_> {
    SourceRow {
        source: &count.source,
        samples: count.samples,
        suspects: count.suspects,
        flagged: count.flagged,
    }
}

/// Copies the list of suspects, with the columns that are kept stable.
fn write_suspects(list: &Path, path: &Path) -> Result<(), String> {
    let failed = |path: &Path| {
        let path = path.display().to_string();
        move |error: csv::Error| format!("cannot copy the suspects, {path}: {error}")
    };
    let mut reader = csv::Reader::from_path(list).map_err(failed(list))?;
    let mut writer = csv::WriterBuilder::new()
        .has_headers(false)
        .from_path(path)
        .map_err(failed(path))?;
    writer
        .write_record([
            "id",
            "given",
            "suggested",
            "score",
            "p_value",
            "first_flagged_epoch",
            "fitted_epoch",
            "source",
        ])
        .map_err(failed(path))?;
    for suspect in reader.deserialize() {
        let suspect: Suspect = suspect.map_err(failed(list))?;
        writer
            .serialize(SuspectRow {
                id: &suspect.id,
                given: suspect.given,
                suggested: suspect.suggested,
                score: suspect.score,
                p_value: suspect.p_value,
                first_flagged_epoch: suspect.first_flagged_epoch,
                fitted_epoch: suspect.fitted_epoch,
                source: suspect.source.as_deref(),
            })
            .map_err(failed(path))?;
    }
    writer.flush().map_err(|error| failed(path)(error.into()))
}

/// The most suspicious samples as they are drawn.
fn tiles(options: &Options, source: &Source, labels: &Labels, scores: &[SampleScore]) -> Vec<Tile> {
    // Without injected noise or the clean labels nobody knows which are wrong.
    let known = options.truth.is_some() || options.noise() != Noise::None;
    let mut order: Vec<usize> = (0..scores.len())
        .filter(|sample| labels.known.binary_search(sample).is_err())
        .collect();
    order.sort_by(|&a, &b| scores[b].score.total_cmp(&scores[a].score));
    let mut tiles = Vec::new();
    for &index in order.iter().take(sheet::MOST) {
        let score = &scores[index];
        tiles.push(Tile {
            index,
            shape: source.train.shape().to_vec(),
            values: source.train.sample(index).unwrap_or_default(),
            given: source.class_names[score.given].clone(),
            suggested: source.class_names[score.suggested as usize].clone(),
            score: score.score,
            p_value: score.p_value,
            mislabelled: known.then_some(labels.wrong[index]),
        });
    }
    tiles
}
