"""Reads every dashboard with Grafana's foundation SDK, the version that requirements.txt names, writes it again, and
fails when anything of it is lost or changed. What the SDK adds, its defaults, is counted only.

  cd grafana/check && python3 -m venv venv && venv/bin/pip install -r requirements.txt && venv/bin/python roundtrip.py
"""

import json
import sys
from importlib.metadata import version
from pathlib import Path

from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

# Fields of Prometheus variables and annotations, which Grafana itself writes and the SDK does not know.
UNPUBLISHED = {"definition", "expr", "step", "tagKeys", "textFormat", "titleFormat", "useValueForTime"}


def differences(before, after, path=""):
    """Paths at which `after` lacks something of `before`, or has something else."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key, value in before.items():
            # The SDK writes no field that is null.
            if key in after:
                yield from differences(value, after[key], f"{path}.{key}")
            elif value is not None:
                yield "lost", f"{path}.{key}"
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after)):
            yield from differences(one, other, f"{path}[{index}]")
    # 1 and True are equal to Python.
    elif before != after or isinstance(before, bool) != isinstance(after, bool):
        yield "changed", path


def fields(value):
    """How many fields there are in all objects."""
    if isinstance(value, dict):
        return len(value) + sum(map(fields, value.values()))
    return sum(map(fields, value)) if isinstance(value, list) else 0


def untyped(dashboard):
    """Titles of the panels of which options or queries were not read as their own types."""
    for panel in dashboard.panels or []:
        parts = [getattr(panel, "options", None), *(getattr(panel, "targets", None) or [])]
        if any(isinstance(part, dict) for part in parts):
            yield panel.title


register_default_plugins()
bad = False
for file in sorted((Path(__file__).parent.parent / "dashboards").glob("*.json")):
    before = json.loads(file.read_text())
    dashboard = Dashboard.from_json(before)
    after = json.loads(json.dumps(dashboard, cls=JSONEncoder))
    found = list(differences(before, after))
    known = [path for _, path in found if path.rsplit(".", 1)[-1] in UNPUBLISHED]
    problems = [f"{what} {path}" for what, path in found if path not in known]
    problems += [f"not read as its own type: panel {title}" for title in untyped(dashboard)]
    added = fields(after) - fields(before) + len([1 for what, _ in found if what == "lost"])
    print(f"{file.name}: {fields(before)} fields, {len(problems)} problems, {len(known)} unpublished, {added} added")
    for problem in problems:
        print(f"  {problem}")
    bad |= bool(problems)
print(f"grafana-foundation-sdk {version('grafana-foundation-sdk')}")
sys.exit(bad)
