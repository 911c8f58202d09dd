//! The report as one HTML file that asks for nothing else.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::chart::{Series, evidence, shares};
use crate::leaks::LeakRecord;
use crate::summary::Summary;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");

/// Classes up to which the matrix of given and suggested labels is drawn.
const MATRIX: usize = 20;

/// All that the page shows.
pub struct Report {
    /// The run.
    pub run: String,
    /// When it was written, as text.
    pub written: String,
    /// The last scan.
    pub summary: Summary,
    /// Epoch, lower bound and estimate of each scan.
    pub timeline: Vec<(u64, f64, f64)>,
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// Suspects that are shown, most suspicious first.
    pub cards: Vec<Card>,
    /// What stage two says of all suspects; none when `confirm` was not run with this data and these settings.
    pub stage_two: Option<StageTwo>,
    /// Leaked samples; none when `leaks` was not run.
    pub leaks: Option<LeakRecord>,
    /// The audit log, oldest first: time, who, sample, verdict, note.
    pub reviews: Vec<[String; 5]>,
    /// Settings, versions and hashes: what it takes to do it again.
    pub settings: Vec<(&'static str, String)>,
    /// Checkpoints that were scanned: epoch, step, SHA-256 of the weights.
    pub checkpoints: Vec<(u64, u64, String)>,
}

/// A suspect.
pub struct Card {
    /// The sample's name.
    pub id: String,
    /// Given label.
    pub given: String,
    /// The label it should most likely carry; none for a task without classes.
    pub suggested: Option<String>,
    /// Estimated chance that the given label is wrong.
    pub wrong_probability: f32,
    /// Conformal p-value.
    pub p_value: f64,
    /// Where it came from.
    pub source: Option<String>,
    /// Epoch at which the model first predicted the given label.
    pub fitted_epoch: Option<u32>,
    /// A picture as a data URI.
    pub picture: Option<String>,
    /// The sample as a text or a table row.
    pub words: Option<String>,
    /// p-values over the checkpoints.
    pub curve: Vec<f64>,
    /// What stage two says of it.
    pub stage_two: Option<CardStageTwo>,
    /// What a person has said of it.
    pub review: Option<String>,
}

/// What stage two says of a suspect.
pub struct CardStageTwo {
    /// `confirmed`, `cleared` or `undecided`.
    pub verdict: String,
    /// Figures behind it, in words.
    pub figures: String,
    /// Probe samples that speak most against the label.
    pub opponents: Vec<Neighbour>,
    /// Training samples that support it most.
    pub proponents: Vec<Neighbour>,
}

/// A sample beside a suspect.
pub struct Neighbour {
    /// Its name.
    pub id: String,
    /// Its label.
    pub label: String,
    /// Cosine of the two gradients.
    pub cosine: f64,
    /// A picture as a data URI.
    pub picture: Option<String>,
}

/// What stage two says of all suspects.
pub struct StageTwo {
    /// Its result in one sentence.
    pub sentence: String,
    /// Settings and what the solver said, row by row.
    pub rows: Vec<(String, String)>,
}

/// The page.
pub fn page(report: &Report) -> Markup {
    let title = format!("Label report: {}", report.run);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
                // Without one, a browser asks for /favicon.ico.
                link rel="icon" href="data:,";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (title) }
                    p.muted {
                        "Epoch " (report.summary.epoch) ", step " (report.summary.step)
                        ". Written " (report.written) "."
                    }
                    nav aria-label="Sections" {
                        a href="#noise" { "Noise" }
                        @if !report.class_names.is_empty() { a href="#pairs" { "Classes" } }
                        @if !report.summary.sources.is_empty() { a href="#sources" { "Sources" } }
                        a href="#suspects" { "Suspects" }
                        @if report.leaks.is_some() { a href="#leaks" { "Leaks" } }
                        a href="#reviews" { "Reviews" }
                        a href="#settings" { "Settings" }
                    }
                }
                main {
                    (summary(report))
                    (noise(report))
                    (pairs(report))
                    (sources(report))
                    (suspects(report))
                    (leaks(report))
                    (reviews(report))
                    (settings(report))
                }
                footer { "Written by mirrorwatch " (env!("CARGO_PKG_VERSION")) ". This file asks for nothing else." }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn summary(report: &Report) -> Markup {
    let summary = &report.summary;
    let refused = summary.refusal.is_some();
    html! {
        section aria-label="Summary" {
            p.lead.refusal[refused] { (sentence(&summary.sentence())) }
            ul.tiles {
                li { b { (summary.suspects) } "suspects of " (summary.scored_samples) " judged" }
                li { b { (percent(summary.noise_ratio_lower_bound)) } "wrong at least, with " (percent(1.0 - summary.alpha)) " confidence" }
                li { b { (percent(summary.noise_ratio_estimate)) } "wrong, best estimate" }
                li { b { (format!("{:.0}", summary.expected_false_suspects)) } "suspects expected to be right, at most" }
                li { b { (summary.hard_suspects) } "suspects more likely hard than wrong" }
                li { b { (summary.memorised_suspects) } "suspects whose label the model has learnt" }
            }
            p.muted {
                "A suspect is a training sample whose label is at odds with what the clean probe teaches, beyond what clean samples show. Suspects are selected so that on average at most "
                (percent(summary.fdr)) " of them are right (false-discovery rate), judged against " (summary.null_samples) " "
                @match summary.null {
                    crate::account::Null::Trusted => "trusted training samples whose labels were verified",
                    crate::account::Null::HeldOut => "probe samples that were held out",
                    crate::account::Null::Pooled => "trusted and held-out samples together",
                }
                ". The lower bound holds for the training set as a whole, also when no single sample can be named."
            }
            @if let Some(stage_two) = &report.stage_two {
                p { b { "Second look: " } (stage_two.sentence) }
            }
        }
    }
}

fn noise(report: &Report) -> Markup {
    let points = |pick: fn(&(u64, f64, f64)) -> f64| -> Vec<(f64, f64)> {
        report
            .timeline
            .iter()
            .map(|row| (row.0 as f64, pick(row)))
            .collect()
    };
    let series = [
        Series {
            name: "lower bound",
            class: "bound",
            points: points(|row| row.1),
        },
        Series {
            name: "best estimate",
            class: "estimate",
            points: points(|row| row.2),
        },
    ];
    html! {
        section #noise {
            h2 { "Share of wrong labels" }
            (shares("Share of wrong labels over epochs: lower bound and best estimate", &series))
            details {
                summary { "The figures" }
                div.scroll tabindex="0" role="region" aria-label="Share of wrong labels by epoch" {
                    table {
                        thead { tr { th.n { "Epoch" } th.n { "Lower bound" } th.n { "Best estimate" } } }
                        tbody {
                            @for (epoch, bound, estimate) in &report.timeline {
                                tr { td.n { (epoch) } td.n { (percent(*bound)) } td.n { (percent(*estimate)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn pairs(report: &Report) -> Markup {
    let names = &report.class_names;
    let pairs = &report.summary.class_pairs;
    let most = pairs.iter().map(|p| p.suspects).max().unwrap_or(0).max(1);
    let count = |given: usize, suggested: usize| {
        pairs
            .iter()
            .find(|p| p.given == given && p.suggested == suggested)
            .map_or(0, |p| p.suspects)
    };
    html! {
        @if !names.is_empty() { section #pairs {
            h2 { "Given and suggested labels" }
            @if pairs.is_empty() {
                p { "There is no suspect." }
            } @else if names.len() <= MATRIX {
                div.scroll tabindex="0" role="region" aria-label="Suspects by given and suggested label" {
                    table.matrix {
                        caption { "Suspects by given label (rows) and suggested label (columns)" }
                        thead { tr {
                            th scope="col" { "given" }
                            @for name in names { th scope="col" { (name) } }
                        } }
                        tbody {
                            @for (given, name) in names.iter().enumerate() {
                                tr {
                                    th scope="row" { (name) }
                                    @for suggested in 0..names.len() {
                                        @let suspects = count(given, suggested);
                                        @if suspects > 0 {
                                            td style=(format!("background: rgba(var(--heat), {:.2})", 0.08 + 0.42 * suspects as f64 / most as f64)) { (suspects) }
                                        } @else {
                                            td.muted { "·" }
                                        }
                                    }
                                }
                            }
                        }
                    }
                }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Suspects by given and suggested label" {
                    table {
                        thead { tr { th { "Given" } th { "Suggested" } th.n { "Suspects" } } }
                        tbody {
                            @for pair in pairs.iter().take(30) {
                                tr { td { (pair.given_name) } td { (pair.suggested_name) } td.n { (pair.suspects) } }
                            }
                        }
                    }
                }
                @if pairs.len() > 30 { p.muted { (pairs.len() - 30) " rarer pairs are in suspects.csv." } }
            }
        } }
    }
}

fn sources(report: &Report) -> Markup {
    let sources = &report.summary.sources;
    html! {
        @if !sources.is_empty() {
            section #sources {
                h2 { "Sources" }
                div.scroll tabindex="0" role="region" aria-label="Suspects by source" {
                    table {
                        thead { tr {
                            th { "Source" } th.n { "Samples" } th.n { "Suspects" } th.n { "Expected" } th.n { "p" } th { "Stands out" }
                        } }
                        tbody {
                            @for source in sources.iter().take(50) {
                                tr {
                                    td { (source.source) }
                                    td.n { (source.samples) }
                                    td.n { (source.suspects) }
                                    td.n { (format!("{:.1}", source.expected_suspects)) }
                                    td.n { (format!("{:.1e}", source.p_value)) }
                                    td { @if source.flagged { b { "yes" } } @else { span.muted { "no" } } }
                                }
                            }
                        }
                    }
                }
                @if sources.len() > 50 { p.muted { (sources.len() - 50) " less conspicuous sources are left out." } }
            }
        }
    }
}

fn suspects(report: &Report) -> Markup {
    let all = report.summary.suspects;
    html! {
        section #suspects {
            h2 { "Suspects" }
            @if report.cards.is_empty() {
                p { "There is none." }
            } @else {
                p.muted {
                    @if report.cards.len() < all { "The " (report.cards.len()) " most suspicious of " (all) "; all are in suspects.csv. " }
                    "The curve shows, checkpoint by checkpoint, how unlikely a clean sample would look so suspicious (higher = less likely; dashed: 1 in 100)."
                }
                div.filters hidden {
                    label { "Given label" select name="given" { option value="" { "all" } } }
                    label { "Suggested label" select name="suggested" { option value="" { "all" } } }
                    label { "Source" select name="source" { option value="" { "all" } } }
                    label { "Second look" select name="verdict" { option value="" { "all" } } }
                    span #shown.muted role="status" {}
                }
                ul.gallery {
                    @for suspect in &report.cards { (card(suspect)) }
                }
            }
        }
    }
}

fn card(suspect: &Card) -> Markup {
    let verdict = suspect.stage_two.as_ref().map(|s| s.verdict.as_str());
    html! {
        li.card data-given=(suspect.given) data-suggested=[suspect.suggested.as_deref()]
            data-source=[suspect.source.as_deref()] data-verdict=[verdict] {
            div.top {
                @if let Some(picture) = &suspect.picture {
                    img src=(picture) alt={ "Sample " (suspect.id) } width="72" height="72" loading="lazy";
                }
                div {
                    h3 { (suspect.id) }
                    @if let Some(suggested) = &suspect.suggested {
                        div.labels { (suspect.given) " → " (suggested) }
                    }
                    div.muted { "wrong with a chance of " (percent(f64::from(suspect.wrong_probability))) }
                    div.muted { "p " (format!("{:.1e}", suspect.p_value)) }
                }
            }
            @if let Some(words) = &suspect.words { p.words { (words) } }
            (evidence(&format!("Evidence against sample {} over the checkpoints", suspect.id), &suspect.curve))
            @if let Some(source) = &suspect.source { div.muted { "from " (source) } }
            @if let Some(epoch) = suspect.fitted_epoch { div.muted { "label learnt by the model at epoch " (epoch) } }
            @if let Some(review) = &suspect.review { div { b { (review) } } }
            @if let Some(stage_two) = &suspect.stage_two {
                div { span class={ "verdict " (stage_two.verdict) } { (stage_two.verdict) } }
                details {
                    summary { "Why sample " (suspect.id) }
                    p.muted { (stage_two.figures) }
                    (neighbours("Probe samples against the label", &stage_two.opponents))
                    (neighbours("Training samples for the label", &stage_two.proponents))
                }
            }
        }
    }
}

fn neighbours(title: &str, neighbours: &[Neighbour]) -> Markup {
    html! {
        @if !neighbours.is_empty() {
            div { (title) }
            ul.neighbours {
                @for one in neighbours {
                    li {
                        @if let Some(picture) = &one.picture {
                            img src=(picture) alt={ "Sample " (one.id) } width="36" height="36" loading="lazy";
                        } @else { span {} }
                        span { (one.id) ": " b { (one.label) } }
                        span.muted title="cosine of the gradients" { (format!("{:+.2}", one.cosine)) }
                    }
                }
            }
        }
    }
}

fn leaks(report: &Report) -> Markup {
    html! {
        @if let Some(leaks) = &report.leaks {
            section #leaks {
                h2 { "Leaks" }
                p {
                    (leaks.leaked_probes) " of " (leaks.probes) " probe samples that were looked at are in the training set, or nearly (stand-out "
                    (leaks.threshold) " and more, epoch " (leaks.epoch) ")."
                }
                @if !leaks.pairs.is_empty() {
                    div.scroll tabindex="0" role="region" aria-label="Leaked samples" {
                        table {
                            thead { tr { th.n { "Probe sample" } th { "Its label" } th { "Training sample" } th { "Its label" } th.n { "Stand-out" } } }
                            tbody {
                                @for pair in leaks.pairs.iter().take(100) {
                                    tr {
                                        td.n { (pair.probe) }
                                        td { (name(&report.class_names, pair.probe_label)) }
                                        td { (pair.train_id) }
                                        td { (name(&report.class_names, pair.train_label)) }
                                        td.n { (format!("{:.4}", pair.score)) }
                                    }
                                }
                            }
                        }
                    }
                    @if leaks.pairs.len() > 100 { p.muted { (leaks.pairs.len() - 100) " more pairs are in leaks.json." } }
                }
            }
        }
    }
}

fn reviews(report: &Report) -> Markup {
    html! {
        section #reviews {
            h2 { "Reviews" }
            @if report.reviews.is_empty() {
                p.muted { "Nobody has reviewed a suspect yet." }
            } @else {
                div.scroll tabindex="0" role="region" aria-label="Reviews" {
                    table {
                        thead { tr { th { "When" } th { "Who" } th { "Sample" } th { "Verdict" } th { "Note" } } }
                        tbody {
                            @for row in &report.reviews { tr { @for cell in row { td { (cell) } } } }
                        }
                    }
                }
            }
        }
    }
}

fn settings(report: &Report) -> Markup {
    html! {
        section #settings {
            h2 { "Settings and hashes" }
            dl { @for (name, value) in &report.settings { dt { (name) } dd { (value) } } }
            @if let Some(stage_two) = &report.stage_two {
                h3 { "Second look" }
                dl { @for (name, value) in &stage_two.rows { dt { (name) } dd { (value) } } }
            }
            details {
                summary { (report.checkpoints.len()) " scanned checkpoints" }
                div.scroll tabindex="0" role="region" aria-label="Scanned checkpoints" {
                    table {
                        thead { tr { th.n { "Epoch" } th.n { "Step" } th { "SHA-256 of the weights" } } }
                        tbody {
                            @for (epoch, step, sha256) in &report.checkpoints {
                                tr { td.n { (epoch) } td.n { (step) } td { code { (sha256) } } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn name(names: &[String], class: usize) -> &str {
    names.get(class).map_or("?", String::as_str)
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// With a capital and a full stop.
fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => format!("{}{}.", first.to_uppercase(), letters.as_str()),
        None => String::new(),
    }
}

#[cfg(test)]
#[path = "page_tests.rs"]
mod tests;
