#!/usr/bin/env python3
"""Checks the Docker, compose and Prometheus files without a Docker engine.

It knows what must be true of this project's files, not the whole formats: every service is watched and restarted, nothing
is published beyond the loopback address, every file and variable that is named exists. Where `docker compose` and
`promtool` are installed, it also asks them.

    check-compose.py [ROOT]     prints one line per problem and exits with 1, or says what it checked
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import yaml

# Ours are built for this user, see the Dockerfile.
OUR_USER = "10001:10001"
# Official images that drop root themselves and need it before that, to own their volume.
STARTS_AS_ROOT = {"rabbitmq", "postgres"}
VARIABLE = re.compile(r"(?<!\$)\$\{([A-Z_][A-Z0-9_]*)")


class Report:
    """Collects problems; a list of them is what the author wants to see, not the first."""

    def __init__(self):
        self.problems, self.checks = [], 0

    def expect(self, holds, place, sentence):
        self.checks += 1
        if not holds:
            self.problems.append(f"{place}: {sentence}")


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[2]).resolve()
    report = Report()
    dockerfile = read_dockerfile(root, report)
    compose = read_yaml(root, "docker-compose.yml", report)
    check_services(root, compose, dockerfile, report)
    check_variables(root, report)
    check_scrape_target(root, compose, report)
    check_alert_rules(root, report)
    skipped = ask_promtool(root, report) + ask_compose(root, report)
    for problem in report.problems:
        print(problem)
    for tool in skipped:
        print(f"not asked: {tool} is not installed here")
    print(f"{report.checks} checks, {len(report.problems)} problems")
    return 1 if report.problems else 0


def read_yaml(root, name, report):
    """The file as a mapping; an empty one when it cannot be read, so that the other checks still run."""
    try:
        content = yaml.load((root / name).read_text(), Loader=StrictLoader)
    except (OSError, yaml.YAMLError) as error:
        report.expect(False, name, f"cannot be read: {' '.join(str(error).split())}")
        return {}
    report.expect(isinstance(content, dict), name, "must be a mapping")
    return content if isinstance(content, dict) else {}


class StrictLoader(yaml.SafeLoader):
    """PyYAML lets the last of two equal keys win; here that is an error, as it is for compose."""

    def construct_mapping(self, node, deep=False):
        seen = set()
        for key, _ in node.value:
            if key.value in seen and key.tag != "tag:yaml.org,2002:merge":
                raise yaml.constructor.ConstructorError(None, None, f"key `{key.value}` is written twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


# ---- Dockerfile --------------------------------------------------------------------------------


def read_dockerfile(root, report):
    """Checks the Dockerfile and returns its instructions by stage: {"quell": [("USER", "10001:10001"), ...]}."""
    place = "Dockerfile"
    try:
        text = (root / place).read_text()
    except OSError as error:
        report.expect(False, place, f"cannot be read: {error}")
        return {}
    stages, name = {}, None
    for word, rest in instructions(text):
        if word == "FROM":
            base, _, alias = rest.partition(" AS ")
            name = alias.strip() or f"stage {len(stages)}"
            # A base that is an earlier stage brings that stage's instructions with it.
            inherited = stages.get(base.strip())
            report.expect(inherited is not None or pinned(base.strip()), place, f"base `{base}` has no fixed version")
            stages[name] = list(inherited or [])
        elif name is None:
            report.expect(word == "ARG", place, f"`{word}` stands before the first FROM")
        else:
            stages[name].append((word, rest))
            check_copy(root, word, rest, stages, report)
    report.expect(len(stages) > 1, place, "must have several stages, so that compilers stay out of what is shipped")
    for target in ("quell", "simulator"):
        report.expect(target in stages, place, f"has no stage `{target}`")
        check_final_stage(stages.get(target, []), f"{place}, stage {target}", report)
    report.expect(list(stages)[-1:] == ["quell"], place, "the last stage must be `quell`, which `docker build .` makes")
    return stages


def instructions(text):
    joined = re.sub(r"\\\n(\s*#[^\n]*\n)*", " ", text)
    for line in joined.splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), rest.strip()


def check_final_stage(stage, place, report):
    if not stage:
        return
    users = [rest for word, rest in stage if word == "USER"]
    report.expect(users[-1:] and not re.fullmatch(r"(root|0)(:.*)?", users[-1]), place, "must end as a USER other than root")
    report.expect(users[-1:] and re.fullmatch(r"\d+(:\d+)?", users[-1]), place, "USER must be a number, to be sure that it is not root")
    words = {word for word, _ in stage}
    for wanted in ("HEALTHCHECK", "ENTRYPOINT", "EXPOSE"):
        report.expect(wanted in words, place, f"has no {wanted}")
    for word, rest in stage:
        if word in ("ENTRYPOINT", "CMD"):
            report.expect(rest.startswith("["), place, f"{word} must be a list: a shell would keep signals from the program")
        report.expect(word != "ADD", place, "ADD unpacks and downloads; say COPY")


def check_copy(root, word, rest, stages, report):
    if word != "COPY":
        return
    source = re.match(r"--from=(\S+)", rest)
    if source:
        report.expect(source[1] in stages, "Dockerfile", f"COPY --from={source[1]} names no earlier stage")
        return
    for path in rest.split()[:-1]:
        report.expect((root / path).exists(), "Dockerfile", f"COPY names `{path}`, which is not there")


def pinned(image):
    """Whether the image has a tag or digest that says a version; `latest` does not."""
    tag = image.rpartition("/")[2].partition(":")[2]
    return "@sha256:" in image or (tag not in ("", "latest") and bool(re.search(r"\d|slim|bookworm", tag)))


# ---- compose -----------------------------------------------------------------------------------


def check_services(root, compose, dockerfile, report):
    services, volumes = compose.get("services") or {}, compose.get("volumes") or {}
    for wanted in ("quell", "rabbitmq", "prometheus", "simulator"):
        report.expect(wanted in services, "docker-compose.yml", f"has no service `{wanted}`")
    for name, service in services.items():
        place = f"docker-compose.yml, service {name}"
        check_image(service, dockerfile, place, report)
        check_health(service, place, report)
        check_rights(name, service, place, report)
        check_mounts(root, service, volumes, place, report)
        for port in service.get("ports", []):
            report.expect(isinstance(port, str) and port.startswith("127.0.0.1:"), place, f"port `{port}` is published beyond 127.0.0.1")
        for other in service.get("depends_on", []):
            report.expect(other in services, place, f"depends on `{other}`, which is no service")


def check_image(service, dockerfile, place, report):
    build, image = service.get("build"), service.get("image")
    report.expect(build or image, place, "has neither image nor build")
    if build:
        target = build.get("target") if isinstance(build, dict) else None
        report.expect(target in dockerfile, place, f"is built from stage `{target}`, which the Dockerfile does not have")
    elif image:
        report.expect(pinned(image), place, f"image `{image}` has no fixed version")


def check_health(service, place, report):
    test = (service.get("healthcheck") or {}).get("test")
    report.expect(isinstance(test, list) and test[:1] in (["CMD"], ["CMD-SHELL"]) and len(test) > 1, place, "has no healthcheck")
    report.expect(service.get("restart") in ("unless-stopped", "always", "on-failure"), place, "is not restarted when it fails")
    options = (service.get("logging") or {}).get("options") or {}
    report.expect("max-size" in options, place, "has no limit on the size of its log")


def check_rights(name, service, place, report):
    report.expect("no-new-privileges:true" in service.get("security_opt", []), place, "may gain privileges")
    report.expect(not service.get("privileged"), place, "is privileged")
    report.expect(service.get("network_mode") != "host", place, "is on the host's network, past the port rules")
    user = str(service.get("user", ""))
    if name in STARTS_AS_ROOT:
        return
    report.expect(re.fullmatch(r"[1-9]\d*:[1-9]\d*", user), place, f"must run as a numbered user other than root, not `{user}`")
    report.expect(service.get("read_only") is True, place, "its own files must be read-only")
    report.expect(service.get("cap_drop") == ["ALL"], place, "must drop all capabilities")
    if service.get("build"):
        report.expect(user == OUR_USER, place, f"must run as {OUR_USER}, the user of our images")


def check_mounts(root, service, volumes, place, report):
    for mount in service.get("volumes", []):
        source = str(mount).partition(":")[0]
        if source.startswith((".", "/")):
            report.expect((root / source).exists(), place, f"mounts `{source}`, which is not there")
            report.expect(str(mount).endswith(":ro"), place, f"mounts `{source}` writable")
        else:
            report.expect(source in volumes, place, f"volume `{source}` is not declared")
    for file in [service.get("env_file") or []]:
        for path in [file] if isinstance(file, str) else file:
            report.expect((root / str(path)).exists(), place, f"env_file `{path}` is not there")


def check_variables(root, report):
    """Every variable that compose or the mounted configuration reads is explained in .env.example, and no other."""
    texts = {name: read_text(root / name) for name in ("docker-compose.yml", "deploy/quell.yaml", ".env.example")}
    compose = without_comments(texts["docker-compose.yml"])
    used = set(VARIABLE.findall(compose))
    explained = set(re.findall(r"^([A-Z_][A-Z0-9_]*)=", texts[".env.example"], re.MULTILINE))
    for name in sorted(used - explained):
        report.expect(False, ".env.example", f"does not explain `{name}`, which docker-compose.yml uses")
    for name in sorted(explained - used):
        report.expect(False, ".env.example", f"explains `{name}`, which docker-compose.yml does not use")
    for name in re.findall(r"\$\{env:([A-Z_][A-Z0-9_]*)\}", without_comments(texts["deploy/quell.yaml"])):
        report.expect(re.search(rf"^\s+{name}:", compose, re.MULTILINE), "deploy/quell.yaml", f"reads `{name}`, which the service `quell` is not given")
    for name in re.findall(r"^(\w*(?:PASSWORD|SECRET|TOKEN)\w*)=.+$", texts[".env.example"], re.MULTILINE):
        report.expect(False, ".env.example", f"holds a value for `{name}`: a secret that all copies share is none")
    report.expect(used, "docker-compose.yml", "uses no variable at all; was it read?")


def read_text(path):
    return path.read_text() if path.exists() else ""


def without_comments(text):
    return re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)


def check_scrape_target(root, compose, report):
    """Prometheus asks services by name: a renamed one would silently be down."""
    prometheus = read_yaml(root, "deploy/prometheus.yml", report)
    services = compose.get("services") or {}
    jobs = prometheus.get("scrape_configs") or []
    report.expect(jobs, "deploy/prometheus.yml", "scrapes nothing")
    for target in [t for job in jobs for config in job.get("static_configs", []) for t in config.get("targets", [])]:
        name, _, port = target.partition(":")
        published = [str(p).rpartition(":")[2] for p in services.get(name, {}).get("ports", [])]
        report.expect(port in published, "deploy/prometheus.yml", f"scrapes `{target}`, which is no port of a service")
    for file in prometheus.get("rule_files", []):
        report.expect((root / "deploy" / file).exists(), "deploy/prometheus.yml", f"names rules `{file}`, which are not there")


# ---- asking the tools themselves ---------------------------------------------------------------


def check_alert_rules(root, report):
    """A rule that was never seen to fire, and to stay quiet, may do neither."""
    rules = re.findall(r"- alert: (\w+)", read_text(root / "deploy/alerts.yml"))
    quiet, _, loud = read_text(root / "deploy/alerts.test.yml").partition("- name: everything is wrong")
    report.expect(rules, "deploy/alerts.yml", "has no rules")
    for name in rules:
        for part, does in [(quiet, "stays quiet"), (loud, "fires")]:
            report.expect(re.search(rf"alertname: {name}\b", part), "deploy/alerts.test.yml", f"does not show that `{name}` {does}")


def ask_promtool(root, report):
    if not shutil.which("promtool"):
        return ["promtool"]
    run(["promtool", "check", "config", "deploy/prometheus.yml"], root, report)
    run(["promtool", "check", "rules", "deploy/alerts.yml"], root, report)
    run(["promtool", "test", "rules", "deploy/alerts.test.yml"], root, report)
    return []


def ask_compose(root, report):
    """`config` resolves the file without an engine. The values stand for a filled-in `.env`."""
    compose = ["docker", "compose"]
    if not shutil.which("docker") or subprocess.run([*compose, "version"], capture_output=True).returncode != 0:
        return ["docker compose"]
    run([*compose, "--env-file", ".env.example", "--profile", "*", "config", "--quiet"], root, report,
        BUS_PASSWORD="for-this-check", DATABASE_PASSWORD="for-this-check")
    return []


def run(command, root, report, **variables):
    done = subprocess.run(command, cwd=root, env={**os.environ, **variables}, capture_output=True, text=True)
    said = " | ".join((done.stdout + done.stderr).split("\n")).strip(" |")
    report.expect(done.returncode == 0, " ".join(command[:3]), said)


if __name__ == "__main__":
    sys.exit(main())
