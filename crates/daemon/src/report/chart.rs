//! Line charts as SVG that follows the page's colours, light or dark.

use maud::{Markup, html};

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 220.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;

/// One line of a chart.
pub struct Series<'a> {
    /// Its name in the legend.
    pub name: &'a str,
    /// Its class in the style sheet, which decides colour and dashes.
    pub class: &'a str,
    /// x and y, in the order of x.
    pub points: Vec<(f64, f64)>,
}

/// A chart of shares over epochs: y is a ratio, shown in percent from 0.
pub fn shares(label: &str, series: &[Series<'_>]) -> Markup {
    let points = || series.iter().flat_map(|s| s.points.iter().copied());
    let (mut low, mut high, mut top) = (f64::INFINITY, f64::NEG_INFINITY, 0.0f64);
    for (x, y) in points() {
        low = low.min(x);
        high = high.max(x);
        top = top.max(y);
    }
    if !low.is_finite() {
        return html! { p { "Nothing to draw yet." } };
    }
    // A single epoch has its place in the middle.
    let (low, high) = if low < high {
        (low, high)
    } else {
        (low - 1.0, high + 1.0)
    };
    let step = tick(top);
    let top = (top / step).ceil().max(1.0) * step;
    let x = |value: f64| LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT);
    let y = |value: f64| HEIGHT - BOTTOM - value / top * (HEIGHT - TOP - BOTTOM);
    let rows = (top / step).round() as usize;
    html! {
        figure.chart {
            svg viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } role="img" aria-label=(label) {
                @for row in 0..=rows {
                    @let value = row as f64 * step;
                    line.grid x1=(LEFT) x2=(WIDTH - RIGHT) y1=(at(y(value))) y2=(at(y(value))) {}
                    text x=(LEFT - 6.0) y=(at(y(value) + 4.0)) text-anchor="end" { (percent(value)) }
                }
                @for value in epochs(low, high) {
                    text x=(at(x(value as f64))) y=(HEIGHT - 10.0) text-anchor="middle" { (value) }
                }
                @for one in series {
                    polyline.line.(one.class) points=(line(&one.points, x, y)) {}
                    @for &(px, py) in &one.points {
                        circle.dot.(one.class) cx=(at(x(px))) cy=(at(y(py))) r="2.5" {}
                    }
                }
            }
            figcaption {
                @for one in series {
                    span.key.(one.class) { (one.name) }
                }
                span.muted { "over epochs" }
            }
        }
    }
}

/// A curve of evidence: how unlikely a clean sample would look so suspicious, checkpoint by checkpoint, as
/// −log₁₀ p. The dashed line is p = 0.01.
pub fn evidence(label: &str, p_values: &[f64]) -> Markup {
    const W: f64 = 120.0;
    const H: f64 = 28.0;
    let heights: Vec<f64> = p_values.iter().map(|p| -p.max(1e-8).log10()).collect();
    let top = heights.iter().copied().fold(3.0, f64::max);
    let points: Vec<(f64, f64)> = heights
        .iter()
        .enumerate()
        .map(|(i, &h)| (i as f64, h))
        .collect();
    let last = (p_values.len().max(2) - 1) as f64;
    let x = |value: f64| 2.0 + value / last * (W - 4.0);
    let y = |value: f64| H - 2.0 - value / top * (H - 4.0);
    html! {
        svg.evidence viewBox={ "0 0 " (W) " " (H) } role="img" aria-label=(label) {
            line.grid.dashed x1="0" x2=(W) y1=(at(y(2.0))) y2=(at(y(2.0))) {}
            polyline.line.bound points=(line(&points, x, y)) {}
            @if let Some(&(px, py)) = points.last() {
                circle.dot.bound cx=(at(x(px))) cy=(at(y(py))) r="2" {}
            }
        }
    }
}

fn line(points: &[(f64, f64)], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut text = String::new();
    for &(px, py) in points {
        text.push_str(&format!("{},{} ", at(x(px)), at(y(py))));
    }
    text.trim_end().to_string()
}

/// A coordinate with a tenth of a pixel.
fn at(value: f64) -> String {
    format!("{value:.1}")
}

fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if (percent - percent.round()).abs() < 1e-9 {
        format!("{percent:.0} %")
    } else {
        format!("{percent:.1} %")
    }
}

/// The distance of grid lines that gives three to six of them: 1, 2 or 5 times a power of ten.
fn tick(top: f64) -> f64 {
    let rough = (top / 4.0).max(0.0025);
    let power = 10f64.powf(rough.log10().floor());
    for factor in [1.0, 2.0, 5.0, 10.0] {
        if factor * power >= rough * 0.999 {
            return factor * power;
        }
    }
    10.0 * power
}

/// At most eight whole epochs to label, the first and the last among them where they are whole.
fn epochs(low: f64, high: f64) -> Vec<u64> {
    let (low, high) = (low.ceil().max(0.0) as u64, high.floor().max(0.0) as u64);
    let step = ((high - low) / 7).max(1) as usize;
    (low..=high).step_by(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round() {
        for (top, expected) in [
            (0.2, 0.05),
            (0.41, 0.2),
            (1.0, 0.5),
            (0.0, 0.005),
            (0.013, 0.005),
        ] {
            assert!((tick(top) - expected).abs() < 1e-12, "{top}: {}", tick(top));
        }
    }

    #[test]
    fn what_is_drawn_stays_within_the_frame() {
        let series = Series {
            name: "bound",
            class: "bound",
            points: vec![(1.0, 0.0), (5.0, 0.34), (9.0, 0.2)],
        };
        let svg = shares("noise", &[series]).into_string();
        assert!(svg.contains("points=\"52.0,190.0 340.0,"), "{svg}");
        assert!(svg.contains("628.0,"), "{svg}");
        assert!(shares("noise", &[]).into_string().contains("Nothing"));
        let one = Series {
            name: "bound",
            class: "bound",
            points: vec![(3.0, 0.1)],
        };
        assert!(!shares("noise", &[one]).into_string().contains("NaN"));
    }

    #[test]
    fn a_curve_of_nothing_is_no_error() {
        for p_values in [&[][..], &[1.0], &[0.0, 1.0]] {
            let svg = evidence("e", p_values).into_string();
            assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        }
    }
}
