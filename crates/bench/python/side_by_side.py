"""cleanlab and AUM on the very outputs that mirrorwatch was measured on.

Reads what `cargo xtask bench detection --export` wrote, and writes `cleanlab.json` and `cleanlab.md`.

cleanlab is given its best case, out-of-sample probabilities from cross-validation, and beside it what a
running training has: the probabilities of the model itself, at each phase.

AUM (Pleiss et al., NeurIPS 2020) is the mean of z_y - max_{c != y} z_c over the checkpoints so far, as the
PyPI package aum 1.0.2 computes it. That package is not imported, since it brings all of torch for this one
line; `test` below holds the line against the package's own arithmetic.
"""

import argparse
import json
import pathlib
import sys
import warnings

import numpy as np
from cleanlab.filter import find_label_issues
from cleanlab.rank import get_label_quality_scores
from scipy.special import softmax
from sklearn.metrics import average_precision_score, roc_auc_score

# As in `crates/bench/src/record.rs`, which has a test for it.
FORMAT = 8
PHASES = ["early", "best", "memorised"]
# Rankings, and ways to name suspects; the first of each is cleanlab's default.
RANKINGS = ["self_confidence", "normalized_margin"]
FILTERS = ["prune_by_noise_rate", "both", "confident_learning"]


def rank(scores, wrong):
    """AUROC and average precision of scores that are larger for more suspicious samples."""
    if not wrong.any() or wrong.all():
        return {"auroc": None, "average_precision": None}
    return {
        "auroc": float(roc_auc_score(wrong, scores)),
        "average_precision": float(average_precision_score(wrong, scores)),
    }


def count(flags, wrong):
    """Precision and recall of suspects."""
    suspects, found = int(flags.sum()), int((flags & wrong).sum())
    return {
        "suspects": suspects,
        "precision": found / suspects if suspects else None,
        "recall": found / int(wrong.sum()) if wrong.any() else None,
        "false_discovery_proportion": (suspects - found) / suspects if suspects else 0.0,
    }


def cleanlab(given, probabilities, judged, wrong):
    """cleanlab's rankings and filters; it sees all samples, and is judged on the untrusted ones."""
    rankings = {}
    for method in RANKINGS:
        quality = get_label_quality_scores(given, probabilities, method=method)
        rankings[method] = rank(-quality[judged], wrong[judged])
    filters = {}
    for method in FILTERS:
        flags = find_label_issues(given, probabilities, filter_by=method, n_jobs=1)
        filters[method] = count(flags[judged], wrong[judged])
    return {"rankings": rankings, "filters": filters}


def is_whole(directory, record):
    """Whether outputs and result of a cell are both there, and of this format."""
    files = [directory / "cell.json", record]
    return all(file.is_file() and json.loads(file.read_text()).get("format") == FORMAT for file in files)


def measure(directory, record):
    """Everything for one cell, beside what mirrorwatch said."""
    load = lambda name: np.load(directory / f"{name}.npy")
    given, truth = load("given"), load("truth")
    judged = load("trusted") == 0
    wrong = given != truth
    cell = json.loads((directory / "cell.json").read_text())
    epochs, margins = load("epochs"), load("margins")
    result = {
        "name": directory.name,
        "settings": cell["settings"],
        "wrong": int(wrong[judged].sum()),
        "out_of_sample": cleanlab(given, load("out_of_sample"), judged, wrong),
        "phases": {},
    }
    record = json.loads(record.read_text())
    for phase in PHASES:
        probabilities = softmax(load(f"logits_{phase}").astype(np.float64), axis=1)
        so_far = epochs <= cell["phases"][phase]
        aum = margins[so_far].mean(axis=0)
        checkpoint = record["checkpoints"][record["phases"][phase]]
        result["phases"][phase] = {
            "epoch": cell["phases"][phase],
            "in_training": cleanlab(given, probabilities, judged, wrong),
            "aum": rank(-aum[judged], wrong[judged]),
            "mirrorwatch": {
                **checkpoint["ranks"]["mirrorwatch"],
                "counts": {c["setting"]: c for c in checkpoint["counts"]},
            },
        }
    return result


def share(value):
    """A share as papers have it."""
    return "–" if value is None else f"{value:.3f}".replace("0.", ".", 1)


def pair(of):
    return f"{share(of['auroc'])} / {share(of['average_precision'])}"


def counted(of):
    """Suspects, precision and recall."""
    return f"{of['suspects']}: {share(of['precision'])} / {share(of['recall'])}"


def table(head, rows):
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def markdown(results):
    """Both tables, and how often mirrorwatch ranks at least as well."""
    ranking, counts, wins = [], [], {phase: [] for phase in PHASES}
    for of in results:
        best_case = of["out_of_sample"]
        for phase in PHASES:
            at = of["phases"][phase]
            ours, counted_by = at["mirrorwatch"], at["mirrorwatch"]["counts"]
            if of["wrong"]:
                theirs = max(r["average_precision"] for r in best_case["rankings"].values())
                wins[phase].append(ours["average_precision"] >= theirs)
                ranking.append(
                    [of["name"], phase, str(at["epoch"]), pair(ours)]
                    + [pair(best_case["rankings"][name]) for name in RANKINGS]
                    + [pair(at["in_training"]["rankings"]["self_confidence"]), pair(at["aum"])]
                )
            counts.append(
                [of["name"], phase, str(of["wrong"])]
                + [
                    counted(counted_by[null]) if null in counted_by else "–"
                    for null in ["with-trusted", "without-trusted"]
                ]
                + [counted(best_case["filters"][name]) for name in FILTERS]
                + [counted(at["in_training"]["filters"]["prune_by_noise_rate"])]
            )
    lines = [
        "# Side by side with cleanlab and AUM\n",
        "The same trainings, the same samples, trusted ones left out. cleanlab: out-of-sample "
        "probabilities, its best case, at every phase the same; `in training`: those of the model itself.\n",
        "Share of cells in which mirrorwatch has at least the average precision of the better one of "
        "cleanlab's two rankings on out-of-sample probabilities: "
        + ", ".join(f"{p} {share(np.mean(w))} of {len(w)}" for p, w in wins.items() if w)
        + ".\n",
        "## Ranking: AUROC / average precision\n",
        table(
            ["cell", "phase", "epoch", "mirrorwatch"]
            + [f"cleanlab {name}" for name in RANKINGS]
            + ["cleanlab in training", "AUM"],
            ranking,
        ),
        "## Suspects: number: precision / recall\n",
        table(
            ["cell", "phase", "wrong", "mirrorwatch, trusted set", "mirrorwatch, without"]
            + [f"cleanlab {name}" for name in FILTERS]
            + ["cleanlab in training"],
            counts,
        ),
    ]
    return "\n".join(lines)


def test():
    """AUM by the arithmetic of aum 1.0.2: gather, mask with -inf, maximum, mean."""
    logits = np.array([[[2.0, 1.0, 0.5], [0.0, 3.0, 1.0]], [[0.0, 1.0, 4.0], [1.0, 1.0, 0.0]]])
    targets = np.array([0, 2])
    margins = []
    for update in logits:
        values = np.take_along_axis(update, targets[:, None], 1)[:, 0]
        masked = update.copy()
        np.put_along_axis(masked, targets[:, None], -np.inf, 1)
        margins.append(values - masked.max(axis=1))
    assert np.allclose(np.mean(margins, axis=0), [-1.5, -1.5])
    assert rank(np.array([3.0, 2.0, 1.0]), np.array([True, False, False]))["auroc"] == 1.0
    assert share(0.5) == ".500" and share(1.0) == "1.000" and share(None) == "–"


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("target/bench"))
    parser.add_argument("--only", action="append", default=[], help="cells whose name contains this")
    arguments = parser.parse_args()
    test()
    warnings.filterwarnings("ignore")
    logits = arguments.out / "detection/logits"
    results = []
    for directory in sorted(logits.glob("*")):
        wanted = not arguments.only or any(part in directory.name for part in arguments.only)
        record = arguments.out / "detection/cells" / f"{directory.name}.json"
        if wanted and is_whole(directory, record):
            print(directory.name, file=sys.stderr, flush=True)
            results.append(measure(directory, record))
    if not results:
        sys.exit(f"no outputs in {logits}; run `cargo xtask bench detection --export` first")
    (arguments.out / "cleanlab.json").write_text(json.dumps(results, indent=1))
    (arguments.out / "cleanlab.md").write_text(markdown(results))
    print(arguments.out / "cleanlab.json")
    print(arguments.out / "cleanlab.md")


if __name__ == "__main__":
    main()
