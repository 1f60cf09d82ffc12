#!/usr/bin/env python3
"""Holds the JSON Schemas of playbooks, of their tests and of the settings to these: what `quell` accepts they accept, and plain mistakes they refuse.

The schemas are for editors. Where one refused a good file, its author would stop to believe it.

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

# What settings begin a line with, and what only other files do.
SECTION = re.compile(r"^(bus|store|adapters|connections|channels|secrets|guardrails|approvals|users|playbooks|web|telemetry|net):", re.MULTILINE)
OTHER = re.compile(r"^(playbook|trigger|steps|tests|- id):", re.MULTILINE)


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


def tests(root):
    """Every file of tests of the project, with where it stands."""
    for folder in ["playbooks", "src/cli/new"]:
        for path in sorted((root / folder).glob("*.test.yaml")):
            yield path.relative_to(root), path.read_text()


def settings(root):
    """All settings of the project, with where they stand."""
    for path in sorted([root / "deploy/quell.yaml", *(root / "tests/broken").glob("*/quell.yaml")]):
        yield path.relative_to(root), path.read_text()
    for page in [root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        for number, block in enumerate(BLOCK.findall(page.read_text()), 1):
            if SECTION.search(block) and not OTHER.search(block):
                yield f"{page.relative_to(root)}, block {number}", block


def spoilt_settings():
    """Settings with one mistake each."""
    hook = {"name": "siem", "type": "webhook", "path": "/hooks/siem", "auth": "none"}
    contoso = {"type": "microsoft", "tenant_id": "t", "client_id": "c", "client_secret": "s"}
    limit = {"action": "entitlement.*", "max": 3, "per": "1h"}
    mistakes = {
        "an unknown section": {"buss": {}},
        "a misspelt key": {"bus": {"urll": "embedded"}},
        "a number in the place of a text": {"bus": {"url": 7}},
        "a text in the place of a number": {"bus": {"prefetch": "many"}},
        "a number that is too large": {"bus": {"prefetch": 70000}},
        "an unknown form of log lines": {"telemetry": {"format": "xml"}},
        "a text in the place of a list": {"net": {"allow": "10.0.0.0/8"}},
        "an adapter without a name": {"adapters": [{key: hook[key] for key in ["type", "path", "auth"]}]},
        "an unknown type of adapter": {"adapters": [{**hook, "type": "webhok"}]},
        "a setting of another adapter": {"adapters": [{**hook, "every": "5m"}]},
        "an adapter without what it needs": {"adapters": [{key: hook[key] for key in ["name", "type", "path"]}]},
        "an unknown way to show who one is": {"adapters": [{**hook, "auth": {"digest": "x"}}]},
        "an unknown field in a map": {"adapters": [{**hook, "map": {"kimd": "body.k"}}]},
        "a duration without a unit": {"adapters": [{"name": "g", "type": "graph_alerts", "connection": "c", "every": "60"}]},
        "an unknown type of connection": {"connections": {"c": {**contoso, "type": "google"}}},
        "a connection without its application": {"connections": {"c": {key: contoso[key] for key in ["type", "tenant_id", "client_secret"]}}},
        "an unknown type of channel": {"channels": {"pigeon:x": {}}},
        "a channel without a name": {"channels": {"slack": {"url": "https://x.example"}}},
        "a channel without what it needs": {"channels": {"slack:x": {}}},
        "a secret that is written down": {"secrets": {"key": "hunter2"}},
        "a name that no playbook can write": {"secrets": {"Key": "${env:KEY}"}},
        "a limit on an action that is not there": {"guardrails": {"limits": [{**limit, "action": "subscription.suspnd"}]}},
        "a limit without a while": {"guardrails": {"limits": [{key: limit[key] for key in ["action", "max"]}]}},
        "an unknown consequence": {"guardrails": {"limits": [{**limit, "on_exceed": "ask"}]}},
        "nobody who must agree": {"approvals": {"quorum": 0}},
        "an unknown role": {"users": {"ann": {"role": "boss"}}},
    }
    for name, bad in mistakes.items():
        yield f"{name} in the settings", bad


def spoilt_tests(good):
    """A good file of tests with one mistake each."""
    test = good["tests"][0]
    mistakes = {
        "a misspelt key": {**test, "mockss": {}},
        "no expectation": {key: value for key, value in test.items() if key != "expect"},
        "an unknown outcome": {**test, "expect": {"outcome": "finished"}},
        "an unknown state": {**test, "expect": {"steps": {"a": "suceeded"}}},
        "a duration without a unit": {**test, "advance": "30"},
        "an unknown fault": {**test, "mocks": {"a": {"error": "timeout"}}},
    }
    for name, bad in mistakes.items():
        yield f"{name} in a test", {**good, "tests": [bad]}


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


def held(root, name, files, bad):
    """The problems of one schema, and how many files it accepts and mistakes it refuses."""
    schema = json.loads((root / f"docs/schema/{name}.json").read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    problems = [
        f"{where}: {'.'.join(map(str, error.absolute_path))}: {error.message[:300]}"
        for where, text in files
        for error in validator.iter_errors(yaml.load(text, Plain))
    ]
    return problems + [f"accepted: {mistake}" for mistake, document in bad if validator.is_valid(document)]


class Plain(yaml.SafeLoader):
    """Leaves times as the texts that they are."""


Plain.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def main(root):
    good = yaml.safe_load((root / "playbooks/note-quota-increase.yaml").read_text())
    tried = yaml.safe_load((root / "playbooks/note-quota-increase.test.yaml").read_text())
    of_playbooks, of_tests, of_settings = list(playbooks(root)), list(tests(root)), list(settings(root))
    bad = {"playbook": list(spoilt(good)), "test": list(spoilt_tests(tried)), "config": list(spoilt_settings())}
    problems = [
        problem
        for name, files in [("playbook", of_playbooks), ("test", of_tests), ("config", of_settings)]
        for problem in held(root, name, files, bad[name])
    ]
    if problems:
        print("\n".join(problems))
        sys.exit(1)
    counts = f"{len(of_playbooks)} playbooks, {len(of_tests)} files of tests and {len(of_settings)} of settings"
    print(f"the schemas accept {counts}, and refuse {sum(map(len, bad.values()))} mistakes")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else ".").resolve())
