//! Every dashboard obeys the rules of Grafana's own dashboard-linter, which is not run here: each of its rules
//! is a test of the same name. Rules of our own follow.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use crate::grafana::{all_thresholds, grafana, promtool, read};
use crate::grafana_panels::{Dashboard, Query, dashboards, list, text};

const TEMPLATED: &str = "${datasource}";

/// Of the units that Grafana has, those in use here.
const UNITS: [&str; 6] = [
    "none",
    "percentunit",
    "s",
    "bytes",
    "ops",
    "dateTimeFromNow",
];

fn queries() -> Vec<Query> {
    dashboards().iter().flat_map(Dashboard::queries).collect()
}

#[track_caller]
fn each_panel(check: impl Fn(&Value, &str)) {
    for dashboard in dashboards() {
        for panel in dashboard.panels() {
            check(panel, &dashboard.at(panel));
        }
    }
}

#[test]
fn template_datasource_rule() {
    for dashboard in dashboards() {
        let [variable] = dashboard.variables("datasource")[..] else {
            panic!("{}: not one data source", dashboard.file);
        };
        assert_eq!(variable["name"], "datasource");
        assert_eq!(variable["label"], "Data source");
        assert_eq!(variable["query"], "prometheus");
    }
}

/// And the same of our third choice, the run; of which the detail shows one at a time.
#[test]
fn template_job_rule_and_template_instance_rule() {
    for dashboard in dashboards() {
        let variables = dashboard.variables("query");
        let names: Vec<&str> = variables.iter().map(|v| text(&v["name"])).collect();
        assert_eq!(names, ["job", "instance", "run"], "{}", dashboard.file);
        for (variable, label) in variables.iter().zip(["Job", "Instance", "Run"]) {
            assert_eq!(variable["label"], label);
            assert_eq!(variable["datasource"]["uid"], TEMPLATED);
            let one = label == "Run" && dashboard.json["uid"] == "mirrorwatch-run";
            assert_eq!(variable["multi"], !one, "{}: {label}", dashboard.file);
            assert_eq!(variable["includeAll"], !one);
            if !one {
                assert_eq!(variable["allValue"], ".+");
            }
        }
    }
}

/// This one and `target-promql-rule`: what Prometheus cannot parse is no recording rule.
#[test]
fn prometheus_promtool_parses_every_query_template_label_promql_rule_and_target_promql_rule() {
    let mut rules = Vec::new();
    let variables = dashboards()
        .into_iter()
        .flat_map(|dashboard| dashboard.variable_queries());
    for (number, query) in queries().into_iter().chain(variables).enumerate() {
        rules.push(
            serde_json::json!({"record": format!("query:{number}"), "expr": query.with_values()}),
        );
    }
    let directory = tempfile::tempdir().unwrap();
    // JSON is YAML, too.
    let file = directory.path().join("dashboards.yml");
    let groups = serde_json::json!({"groups": [{"name": "dashboards", "rules": rules}]});
    fs::write(&file, groups.to_string()).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}

#[test]
fn template_on_time_change_reload_rule() {
    for dashboard in dashboards() {
        for variable in dashboard.variables("query") {
            assert_eq!(variable["refresh"], 2, "{}: {variable}", dashboard.file);
        }
    }
}

/// The linter looks at panels only; a target or an annotation with another data source is as wrong.
#[test]
fn panel_datasource_rule() {
    each_panel(|panel, at| {
        assert_eq!(panel["datasource"]["uid"], TEMPLATED, "{at}");
        for target in list(&panel["targets"]) {
            assert_eq!(target["datasource"]["uid"], TEMPLATED, "{at}");
        }
    });
    for dashboard in dashboards() {
        for annotation in list(&dashboard.json["annotations"]["list"]) {
            let built_in = annotation["builtIn"] == 1;
            assert!(built_in || annotation["datasource"]["uid"] == TEMPLATED);
        }
    }
}

/// Of every kind of panel; the linter leaves some out.
#[test]
fn panel_title_description_rule() {
    each_panel(|panel, at| {
        assert!(!text(&panel["title"]).is_empty(), "{at}: {panel}");
        let description = text(&panel["description"]);
        assert!(description.ends_with('.'), "{at}: {description:?}");
    });
}

/// Of every kind of panel, also where values are mapped to words, which the linter lets go without a unit.
/// Counts have `none`, which is one: with `short`, 1143 suspects would be 1 K.
#[test]
fn panel_units_rule() {
    each_panel(|panel, at| {
        let config = &panel["fieldConfig"];
        let unit = text(&config["defaults"]["unit"]);
        assert!(UNITS.contains(&unit), "{at}: unit {unit:?}");
        for overridden in list(&config["overrides"]) {
            for property in list(&overridden["properties"]) {
                let unit = text(&property["value"]);
                assert!(
                    property["id"] != "unit" || UNITS.contains(&unit),
                    "{at}: unit {unit:?}"
                );
            }
        }
    });
}

#[test]
fn panel_no_targets_rule() {
    each_panel(|panel, at| assert!(!list(&panel["targets"]).is_empty(), "{at}"));
}

/// What is counted over the whole range shown has `$__range`, which the linter allows outside of rates.
#[test]
fn target_rate_interval_rule() {
    for query in queries() {
        for selector in query.selectors() {
            let allowed = match (selector.range.as_deref(), selector.function.as_str()) {
                (None, _) | (Some("$__rate_interval"), _) => true,
                (Some("$__range"), function) => !["rate", "irate"].contains(&function),
                (Some(_), _) => false,
            };
            assert!(allowed, "{}: {selector:?}", query.place);
        }
    }
}

/// `ALERTS` has no instance where there is no sidecar, as for MirrorwatchSidecarAbsent: in the list of alerts
/// an empty one is allowed, too. This is the one place where the linter would complain.
#[test]
fn target_job_rule_and_target_instance_rule() {
    for query in queries() {
        let selectors = query.selectors();
        assert_eq!(
            selectors.len(),
            query.metrics().len(),
            "{}: a metric without a selector",
            query.place
        );
        for selector in selectors {
            let start = match query.place.ends_with("Firing alerts") {
                true => r#"job=~"$job", instance=~"$instance|""#,
                false => r#"job=~"$job", instance=~"$instance""#,
            };
            assert!(
                selector.matchers.starts_with(start),
                "{}: {selector:?}",
                query.place
            );
        }
    }
}

/// And the parts of histograms, which rise as well.
#[test]
fn target_counter_agg_rule() {
    for query in queries() {
        for selector in query.selectors() {
            let rises = ["_total", "_sum", "_count", "_bucket"];
            let counter = rises.iter().any(|end| selector.metric.ends_with(end));
            let rate = ["rate", "irate", "increase"].contains(&selector.function.as_str());
            assert!(
                counter == rate && rate <= selector.range.is_some(),
                "{}: {selector:?}",
                query.place
            );
        }
    }
}

#[test]
fn uneditable_dashboard_rule() {
    for dashboard in dashboards() {
        assert_eq!(dashboard.json["editable"], false, "{}", dashboard.file);
    }
}

#[test]
fn no_panel_is_there_twice() {
    let mut shown: BTreeMap<Vec<String>, String> = BTreeMap::new();
    let (mut titles, mut uids) = (BTreeSet::new(), BTreeSet::new());
    for dashboard in dashboards() {
        assert!(uids.insert(text(&dashboard.json["uid"]).to_string()));
        let mut ids = BTreeSet::new();
        for panel in dashboard.panels() {
            let at = dashboard.at(panel);
            assert!(ids.insert(panel["id"].as_u64().unwrap()), "{at}: its id");
            assert!(titles.insert(text(&panel["title"]).to_string()), "{at}");
            let targets = list(&panel["targets"]).iter();
            let mut queries: Vec<String> = targets.map(|t| text(&t["expr"]).to_string()).collect();
            queries.sort();
            let twin = shown.insert(queries, at.clone());
            assert!(twin.is_none(), "{at} shows the same as {twin:?}");
        }
    }
}

/// A line that is drawn as a threshold is one of the rules', or the daemon's for a noisy probe.
#[test]
fn threshold_lines_are_those_of_the_rules() {
    const NOISY_PROBE: f64 = 0.01;
    let mut known = all_thresholds();
    known.push(NOISY_PROBE);
    let mut drawn = 0;
    each_panel(|panel, at| {
        let defaults = &panel["fieldConfig"]["defaults"];
        if defaults["custom"]["thresholdsStyle"]["mode"] == "dashed" {
            for step in list(&defaults["thresholds"]["steps"]) {
                let value = step["value"].as_f64();
                assert!(value.is_none_or(|v| known.contains(&v)), "{at}: {value:?}");
            }
        }
    });
    for dashboard in dashboards() {
        let json = dashboard.json.to_string();
        drawn += json.matches(r#""mode":"dashed""#).count();
    }
    assert!(drawn >= 3, "{drawn}");
}

/// Links between dashboards lead to one that is there, and runbooks name panels that are there.
#[test]
fn links_and_runbooks_lead_to_dashboards_and_panels() {
    let dashboards = dashboards();
    let (mut uids, mut titles) = (BTreeSet::new(), BTreeSet::new());
    for dashboard in &dashboards {
        uids.insert(text(&dashboard.json["uid"]));
        titles.extend(dashboard.panels().iter().map(|p| text(&p["title"])));
    }
    let mut links = 0;
    for dashboard in &dashboards {
        let json = read(&dashboard.file);
        for link in json.split(r#""url": "/d/"#).skip(1) {
            let uid = link.split('/').next().unwrap();
            assert!(uids.contains(uid), "{}: {uid}", dashboard.file);
            links += 1;
        }
    }
    assert!(links >= 3, "{links}");
    let mut named = 0;
    for entry in fs::read_dir(grafana().join("runbooks")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        // Lines are wrapped anywhere.
        let page = read(&format!("runbooks/{name}")).replace("\n  ", " ");
        let mut spans = page.split('*').skip(1).step_by(2);
        // Panels start with a capital letter; other words in italics are these.
        let other = ["T-shirt", "What to do"];
        let panel = |span: &&str| span.starts_with(char::is_uppercase) && !other.contains(span);
        for span in spans.by_ref().filter(panel) {
            assert!(titles.contains(span), "{name}: no panel *{span}*");
            named += 1;
        }
    }
    assert!(named > 5, "{named}");
}
