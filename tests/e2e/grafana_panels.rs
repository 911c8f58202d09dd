//! Reading the dashboards in `grafana/`: their panels, queries, and the selectors in these.

use std::fs;

use serde_json::Value;

use crate::grafana::{grafana, read};

/// A dashboard, by the name of its file.
pub struct Dashboard {
    pub file: String,
    pub json: Value,
}

/// A query of a dashboard: of a panel, an annotation or a variable.
pub struct Query {
    /// The dashboard's file and the panel's title.
    pub place: String,
    pub expr: String,
}

/// One selector in a query.
#[derive(Debug, PartialEq, Eq)]
pub struct Selector {
    pub metric: String,
    /// What is between the braces.
    pub matchers: String,
    /// What is between the brackets, if there are any.
    pub range: Option<String>,
    /// The function that it is the first argument of.
    pub function: String,
}

#[track_caller]
pub fn dashboards() -> Vec<Dashboard> {
    let mut dashboards = Vec::new();
    for entry in fs::read_dir(grafana().join("dashboards")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let file = format!("dashboards/{name}");
        let json = serde_json::from_str(&read(&file)).unwrap();
        dashboards.push(Dashboard { file, json });
    }
    dashboards.sort_by(|a, b| a.file.cmp(&b.file));
    assert!(dashboards.len() >= 2);
    dashboards
}

impl Dashboard {
    /// The panels that show something, not the rows they are in.
    #[track_caller]
    pub fn panels(&self) -> Vec<&Value> {
        let mut panels: Vec<&Value> = list(&self.json["panels"]).iter().collect();
        panels.retain(|panel| panel["type"] != "row");
        assert!(!panels.is_empty());
        panels
    }

    /// The panel's place, for a message.
    pub fn at(&self, panel: &Value) -> String {
        format!("{}, {}", self.file, text(&panel["title"]))
    }

    /// Every query of a panel or an annotation, and no other text.
    #[track_caller]
    pub fn queries(&self) -> Vec<Query> {
        let mut queries = Vec::new();
        for panel in self.panels() {
            for target in list(&panel["targets"]) {
                queries.push(Query {
                    place: self.at(panel),
                    expr: text(&target["expr"]).to_string(),
                });
            }
        }
        for annotation in list(&self.json["annotations"]["list"]) {
            // The built-in one has no query.
            if annotation["builtIn"] != 1 {
                queries.push(Query {
                    place: format!("{}, annotation {}", self.file, annotation["name"]),
                    expr: text(&annotation["expr"]).to_string(),
                });
            }
        }
        queries
    }

    /// The variables of a type.
    pub fn variables(&self, kind: &str) -> Vec<&Value> {
        let all = list(&self.json["templating"]["list"]).iter();
        all.filter(|variable| variable["type"] == kind).collect()
    }

    /// What is selected by `label_values(…, label)` for each variable.
    #[track_caller]
    pub fn variable_queries(&self) -> Vec<Query> {
        let mut queries = Vec::new();
        for variable in self.variables("query") {
            let query = text(&variable["query"]["query"]);
            assert_eq!(variable["definition"], query);
            let inside = query.strip_prefix("label_values(").unwrap();
            let (expr, label) = inside.rsplit_once(", ").unwrap();
            assert_eq!(label, format!("{})", text(&variable["name"])));
            queries.push(Query {
                place: format!("{}, variable {}", self.file, variable["name"]),
                expr: expr.to_string(),
            });
        }
        queries
    }
}

impl Query {
    /// The query as Grafana sends it when everything is chosen.
    #[track_caller]
    pub fn with_values(&self) -> String {
        let expr = self
            .expr
            .replace("$__rate_interval", "5m")
            .replace("$__range", "1h")
            .replace("$job", ".+")
            .replace("$instance", ".+")
            .replace("$run", ".+");
        assert!(
            !expr.contains('$'),
            "{}: an unknown variable in {expr}",
            self.place
        );
        expr
    }

    /// Every selector. One without braces is none, and found by whoever counts the metrics' names.
    #[track_caller]
    pub fn selectors(&self) -> Vec<Selector> {
        let mut selectors = Vec::new();
        for (open, _) in self.expr.match_indices('{') {
            let before = &self.expr[..open];
            let metric = before.rsplit(|c: char| !in_name(c)).next().unwrap();
            let (matchers, after) = self.expr[open + 1..].split_once('}').unwrap();
            let range = after.strip_prefix('[').and_then(|r| r.split_once(']'));
            let outside = &before[..before.len() - metric.len()];
            let function = outside.strip_suffix('(').unwrap_or_default();
            selectors.push(Selector {
                metric: metric.to_string(),
                matchers: matchers.to_string(),
                range: range.map(|(range, _)| range.to_string()),
                function: function
                    .rsplit(|c: char| !in_name(c))
                    .next()
                    .unwrap()
                    .to_string(),
            });
        }
        selectors
    }

    /// The words that are names of metrics: ours, those of every Rust or Go process, Prometheus' own.
    pub fn metrics(&self) -> Vec<&str> {
        let words = self.expr.split(|c: char| !in_name(c));
        words
            .filter(|word| {
                ["mirrorwatch_", "process_"]
                    .iter()
                    .any(|p| word.starts_with(p))
                    || word.contains(":mirrorwatch_")
                    || ["up", "ALERTS"].contains(word)
            })
            .collect()
    }
}

fn in_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || c == ':'
}

/// A list that may be left out.
pub fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text that may be left out.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[test]
fn selectors_are_found_with_range_and_function() {
    let query = Query {
        place: String::new(),
        expr: r#"sum by (run) (rate(a_total{x="y"}[5m])) / on (run) l:b:c{} > 0"#.to_string(),
    };
    let selector = |metric: &str, matchers: &str, range: Option<&str>, function: &str| Selector {
        metric: metric.to_string(),
        matchers: matchers.to_string(),
        range: range.map(ToString::to_string),
        function: function.to_string(),
    };
    let expected = [
        selector("a_total", r#"x="y""#, Some("5m"), "rate"),
        selector("l:b:c", "", None, ""),
    ];
    assert_eq!(query.selectors(), expected);
}
