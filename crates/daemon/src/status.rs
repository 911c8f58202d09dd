//! `status`: what a running sidecar says of itself and its runs, in a terminal.

use clap::Args;
use serde_json::Value;

use crate::client::{Answer, ClientArgs};
use crate::error::DaemonError;
use crate::printable::printable;

/// Which sidecar to ask, and how to answer.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    #[command(flatten)]
    client: ClientArgs,

    /// Print the answer as it is: the JSON of /api/v1/runs
    #[arg(long)]
    json: bool,
}

/// Asks, prints, and says whether the sidecar is healthy.
///
/// # Errors
///
/// A sidecar that cannot be reached or refuses, or an answer that is none.
pub fn run(args: &StatusArgs) -> Result<bool, DaemonError> {
    let body = match args.client.get("/api/v1/runs")? {
        Answer::Page(body) => body,
        Answer::NotNow(why) => {
            println!("{}", printable(why.trim_end()));
            return Ok(false);
        }
    };
    let url = &args.client.url;
    let answer: Value = serde_json::from_str(&body)
        .map_err(|error| DaemonError::Option(format!("{url} is no sidecar: {error}")))?;
    if args.json {
        println!("{body}");
    } else {
        print!("{}", told(&answer));
    }
    Ok(answer["sidecar"]["problem"].is_null())
}

/// The answer for a person: the sidecar in a line, then each run with its count in numbers and words.
fn told(answer: &Value) -> String {
    let sidecar = &answer["sidecar"];
    let mut told = format!("mirrorwatch {}: ", text(&sidecar["version"]));
    told += &match (sidecar["problem"].as_str(), sidecar["scanning"].as_str()) {
        (Some(problem), _) => printable(problem),
        (None, Some(checkpoint)) => format!("scanning {}", printable(checkpoint)),
        (None, None) => String::from("idle"),
    };
    told.push('\n');
    let runs = answer["runs"].as_array().map_or(&[][..], Vec::as_slice);
    if runs.is_empty() {
        told += "no run yet\n";
    }
    for run in runs {
        told += &format!("\n{} ({})", text(&run["run"]), text(&run["state"]));
        let summary = &run["summary"];
        if let Some(epoch) = summary["epoch"].as_u64() {
            told += &format!(", epoch {epoch}");
        }
        told.push('\n');
        told += &match run["in_words"].as_str() {
            Some(words) => format!("  {}\n", printable(words)),
            None => String::from("  no checkpoint scanned yet\n"),
        };
        for source in summary["sources"].as_array().into_iter().flatten() {
            if source["flagged"] == true {
                told += &format!(
                    "  source {} stands out: {} suspects of {}\n",
                    text(&source["source"]),
                    source["suspects"],
                    source["samples"]
                );
            }
        }
        for onset in summary["onset"]["so_far"].as_array().into_iter().flatten() {
            told += &format!(
                "  source {} went bad at epoch {}\n",
                text(&onset["source"]),
                onset["epoch"]
            );
        }
        if let Some(error) = run["last_error"].as_str() {
            told += &format!("  last error: {}\n", printable(error));
        }
    }
    told
}

fn text(value: &Value) -> String {
    printable(value.as_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::summary::example;

    #[test]
    fn a_run_is_told_in_words_with_what_stands_out() {
        let summary = example("r");
        let answer = json!({
            "sidecar": {"version": "1.2.3", "problem": null, "scanning": "r/epoch-8"},
            "runs": [
                {"run": "r", "state": "running", "in_words": summary.sentence(), "summary": summary, "last_error": null},
                {"run": "new", "state": "running", "in_words": null, "summary": null, "last_error": "no \u{1b}[2Jspace"},
            ],
        });
        let told = told(&answer);
        let expected = [
            "mirrorwatch 1.2.3: scanning r/epoch-8",
            "",
            "r (running), epoch 7",
            &format!("  {}", example("r").sentence()),
            "  source vendor-a stands out: 9 suspects of 400",
            "  source vendor-b went bad at epoch 5",
            "",
            "new (running)",
            "  no checkpoint scanned yet",
            "  last error: no \\u{1b}[2Jspace",
        ];
        assert_eq!(told.lines().collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_sidecar_that_is_not_there_is_an_error_with_what_to_do() {
        let args = StatusArgs {
            // A port that nobody may listen on.
            client: crate::client::tests::plain("http://127.0.0.1:1/"),
            json: false,
        };
        let error = run(&args).unwrap_err().to_string();
        assert!(error.contains("http://127.0.0.1:1/api/v1/runs"), "{error}");
        assert!(error.contains("is the sidecar running"), "{error}");
    }
}
