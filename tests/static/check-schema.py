#!/usr/bin/env python3
"""Holds the JSON Schema of playbooks to playbooks: what `quell check` accepts it accepts, and plain mistakes it refuses.

The schema is for editors. Where it refused a good playbook, its author would stop to believe it.

    check-schema.py [ROOT]     prints one line per problem and exits with 1, or says what it checked
"""

import copy
import json
import pathlib
import re
import sys

import yaml
from jsonschema import Draft202012Validator

BLOCK = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def playbooks(root):
    """Every playbook of the project, with where it stands."""
    for folder in ["playbooks", "src/cli/new"]:
        for path in sorted((root / folder).glob("*.yaml")):
            if not path.name.endswith(".test.yaml"):
                yield path.relative_to(root), path.read_text().replace("playbook: NAME", "playbook: name")
    for page in [root / "docs/playbooks.md", root / "README.md"]:
        for number, block in enumerate(BLOCK.findall(page.read_text()), 1):
            if re.search(r"^playbook:", block, re.MULTILINE) and re.search(r"^trigger:", block, re.MULTILINE):
                yield f"{page.relative_to(root)}, block {number}", block


def spoilt(good):
    """A good playbook with one mistake each."""
    mistakes = {
        "no trigger": lambda it: it.pop("trigger"),
        "a misspelt key": lambda it: it.update(mod="enforce"),
        "an unknown mode": lambda it: it.update(mode="enforced"),
        "two triggers": lambda it: it["trigger"].update(manual={}),
        "an unknown field": lambda it: it.update(trigger={"alert": {"match": {"severty": "high"}}}),
        "an unknown operator": lambda it: it.update(trigger={"alert": {"match": {"kind": {"is": "x"}}}}),
        "an empty list": lambda it: it.update(trigger={"alert": {"match": {"kind": []}}}),
        "no steps": lambda it: it.update(steps=[]),
        "an unknown action": lambda it: it["steps"][0].update(action="notfy"),
        "an unknown parameter": lambda it: it.update(steps=[{"id": "a", "action": "log", "with": {"mesage": "x"}}]),
        "two things at once": lambda it: it.update(steps=[{"id": "a", "action": "log", "script": "1"}]),
        "an approval that forgets the night": lambda it: it.update(
            steps=[{"id": "a", "approval": {"title": "t", "for_steps": ["b"], "groups": ["g"], "channels": ["c"]}}]
        ),
        "a duration without a unit": lambda it: it.update(timeout="30"),
        "a limit of nothing": lambda it: it.update(guardrails=[{"action": "notify", "max": 0, "per": "1h"}]),
    }
    for name, spoil in mistakes.items():
        bad = copy.deepcopy(good)
        spoil(bad)
        yield name, bad


def main(root):
    schema = json.loads((root / "docs/schema/playbook.json").read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    problems, accepted = [], 0
    for where, text in playbooks(root):
        accepted += 1
        for error in validator.iter_errors(yaml.safe_load(text)):
            problems.append(f"{where}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}")
    good = yaml.safe_load((root / "playbooks/note-quota-increase.yaml").read_text())
    refused = list(spoilt(good))
    problems += [f"accepted: {name}" for name, bad in refused if validator.is_valid(bad)]
    if problems:
        print("\n".join(problems))
        sys.exit(1)
    print(f"the schema accepts {accepted} playbooks and refuses {len(refused)} mistakes")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
