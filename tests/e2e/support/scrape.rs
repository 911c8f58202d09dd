//! The text of `/metrics`.

use std::collections::BTreeSet;

/// One scrape.
#[derive(Debug, Clone)]
pub struct Scrape(pub String);

impl Scrape {
    /// The value of one series, written as in the text: `name` or `name{label="value"}`.
    pub fn value(&self, series: &str) -> Option<f64> {
        self.samples()
            .find_map(|(name, value)| (name == series).then_some(value))
    }

    /// The sum over all series of a metric.
    pub fn sum(&self, metric: &str) -> f64 {
        self.samples()
            .filter(|(series, _)| metric_of(series) == metric)
            .map(|(_, value)| value)
            .sum()
    }

    /// The names of all metrics that have a series.
    pub fn metrics(&self) -> BTreeSet<&str> {
        self.samples()
            .map(|(series, _)| metric_of(series))
            .collect()
    }

    /// All series of a metric.
    pub fn series(&self, metric: &str) -> Vec<&str> {
        self.samples()
            .map(|(series, _)| series)
            .filter(|series| metric_of(series) == metric)
            .collect()
    }

    pub fn scanned(&self) -> f64 {
        self.sum("mirrorwatch_checkpoints_scanned_total")
    }

    pub fn skipped(&self) -> f64 {
        self.sum("mirrorwatch_checkpoints_skipped_total")
    }

    pub fn failed(&self) -> f64 {
        self.sum("mirrorwatch_checkpoint_failures_total")
    }

    /// Checkpoints that came to one of the three ends.
    pub fn done(&self) -> f64 {
        self.scanned() + self.skipped() + self.failed()
    }

    fn samples(&self) -> impl Iterator<Item = (&str, f64)> {
        let lines = self.0.lines().filter(|line| !line.starts_with('#'));
        lines.filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            Some((series, value.parse().ok()?))
        })
    }
}

fn metric_of(series: &str) -> &str {
    series.split('{').next().unwrap_or(series)
}

#[test]
fn a_scrape_is_read_by_series_and_by_metric() {
    let text = "# HELP a_total x\n# TYPE a_total counter\na_total{r=\"x\"} 2\na_total{r=\"y z\"} 3\na_total_more 9\n";
    let scrape = Scrape(text.to_string());
    assert_eq!(scrape.value("a_total{r=\"y z\"}"), Some(3.0));
    assert_eq!(scrape.value("a_total"), None);
    assert_eq!(scrape.sum("a_total"), 5.0);
    assert_eq!(
        scrape.metrics().into_iter().collect::<Vec<_>>(),
        ["a_total", "a_total_more"]
    );
}
