#!/usr/bin/env python3
"""Holds what stands in deploy/ and the Dockerfile against the schemas, the tools and the program that they are written for.

    tests/deploy/check.py STEPGATE      the program, built

Run by `make deploy`, in an environment with requirements.txt. Needs no cluster, no container engine and no network.
"""

import copy
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
SIDECAR = ROOT / "deploy/kubernetes/sidecar.yaml"
SERVICE = ROOT / "deploy/stepgate.service"
# The oldest that the file says it is for, and the newest that there is a schema of.
VERSIONS = ["1.30", "1.37"]
PROGRAM = "/usr/local/bin/stepgate"
# The worst rating by `systemd-analyze security` that is let pass, in tenths.
EXPOSURE = 12

problems: list[str] = []


def expect(holds: bool, what: str) -> None:
    if not holds:
        problems.append(what)


def run(*command: str) -> subprocess.CompletedProcess:
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def is_valid(document: dict, version: str) -> str | None:
    """Why not, if not."""
    try:
        kubernetes_validate.validate(document, version, strict=True)
    except kubernetes_validate.ValidationError as error:
        return str(error).splitlines()[0]
    return None


def of_kind(documents: list[dict], kind: str) -> list[dict]:
    return [document for document in documents if document["kind"] == kind]


def schemas(documents: list[dict]) -> None:
    for document in documents:
        for version in VERSIONS:
            why = is_valid(document, version)
            expect(why is None, f"{document['kind']} {document['metadata']['name']}, Kubernetes {version}: {why}")
    # A validator that takes everything would say the same.
    wrong = copy.deepcopy(of_kind(documents, "Deployment")[0])
    wrong["spec"]["template"]["spec"]["initContainers"][0]["securityContext"]["readOnlyRootFileSystem"] = True
    expect(is_valid(wrong, VERSIONS[0]) is not None, "the validator does not notice a key that there is not")


def pod(documents: list[dict], stepgate: str) -> None:
    spec = of_kind(documents, "Deployment")[0]["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    maps = {document["metadata"]["name"] for document in of_kind(documents, "ConfigMap")}
    for volume in volumes.values():
        if "configMap" in volume:
            expect(volume["configMap"]["name"] in maps, f"there is no ConfigMap for the volume {volume['name']}")
    gate = next(one for one in spec["initContainers"] if one["name"] == "stepgate")
    expect(gate["restartPolicy"] == "Always", "the gate is not a sidecar, so the pod would wait for its end")
    for container in spec["initContainers"] + spec["containers"]:
        name, security = container["name"], container["securityContext"]
        expect(security["readOnlyRootFilesystem"] is True, f"{name}: its root can be written to")
        expect(security["allowPrivilegeEscalation"] is False, f"{name}: it may gain privileges")
        expect(security["capabilities"] == {"drop": ["ALL"]}, f"{name}: it has capabilities")
        for mount in container.get("volumeMounts", []):
            expect(mount["name"] in volumes, f"{name}: there is no volume {mount['name']}")
            expect("subPath" not in mount, f"{name}: a change of {mount['name']} would not arrive")
    expect(spec["securityContext"]["runAsNonRoot"] is True, "the pod may run as root")
    expect(spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault", "no system call is filtered")
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"]:
        command = gate[probe]["exec"]["command"]
        expect(("--live" in command) == (probe != "readinessProbe"), f"{probe} asks for the wrong thing")
        asks(command, probe, stepgate)
    settings = yaml.safe_load(of_kind(documents, "ConfigMap")[0]["data"]["stepgate.yaml"])
    drain = int(settings["limits"]["drain"].removesuffix("s"))
    pause = spec["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    expect(spec["terminationGracePeriodSeconds"] >= pause + drain + 15 + 20, "the gate may be killed while it drains")
    ports = {port["containerPort"] for port in gate["ports"]}
    listens = {int(listener["address"].rsplit(":", 1)[1]) for listener in settings["listeners"]}
    expect(ports == listens, f"the gate listens on {listens}, the pod says {ports}")
    policy = of_kind(documents, "NetworkPolicy")[0]["spec"]["ingress"][0]["ports"]
    expect({rule["port"] for rule in policy} == listens, "the NetworkPolicy lets in what is not the gate, or not the gate")
    expect(all(port["targetPort"] == gate["ports"][0]["name"] for port in of_kind(documents, "Service")[0]["spec"]["ports"]),
           "the Service leads past the gate")
    expect(settings["admin"]["address"] == "127.0.0.1:9901", "the probes ask another address than `admin` names")


def asks(command: list[str], what: str, stepgate: str) -> None:
    """The program takes the command for what it is: where nothing listens it says unhealthy (1), not misused (2)."""
    expect(command[0] == PROGRAM, f"{what}: {command[0]} is not where the program is")
    done = run(stepgate, *command[1:], "--admin", "127.0.0.1:1")
    expect(done.returncode == 1 and "unhealthy" in done.stderr, f"{what}: {command}: {done.stderr}")


def mounted(folder: pathlib.Path, files: dict[str, str]) -> None:
    """As the kubelet does it: each file is a link through `..data`, the link to the folder of one version."""
    version = folder / "..2026_01_01_12_00_00.1"
    version.mkdir(parents=True)
    (folder / "..data").symlink_to(version.name)
    for name, text in files.items():
        (version / name).write_text(text)
        (folder / name).symlink_to(f"..data/{name}")


def config_maps(documents: list[dict], stepgate: str) -> None:
    """What the ConfigMaps hold passes `stepgate check`, in the layout of a pod."""
    spec = of_kind(documents, "Deployment")[0]["spec"]["template"]["spec"]
    gate = spec["initContainers"][0]
    data = {document["metadata"]["name"]: document["data"] for document in of_kind(documents, "ConfigMap")}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    with tempfile.TemporaryDirectory() as root:
        for mount in gate["volumeMounts"]:
            volume, place = volumes[mount["name"]], pathlib.Path(root + mount["mountPath"])
            if "configMap" in volume:
                files = data[volume["configMap"]["name"]]
                # Paths are absolute in the pod; here the pod's root is a folder.
                mounted(place, {name: re.sub(r"(?<=[ \"])/(etc|var)/", rf"{root}/\1/", text) for name, text in files.items()})
            elif "secret" in volume:
                place.mkdir(parents=True)
                made = run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                           "-subj", "/CN=app.example", "-keyout", f"{place}/tls.key", "-out", f"{place}/tls.crt")
                expect(made.returncode == 0, f"openssl: {made.stderr}")
                (place / "tls.key").chmod(0o440)
            else:
                place.mkdir(parents=True)
        config = root + gate["args"][gate["args"].index("--config") + 1]
        done = run(stepgate, "check", "--config", config)
        said = done.stdout + done.stderr
        expect(done.returncode == 0 and "1 policy checked: 0 errors, 0 lints" in said, f"the ConfigMaps: {said}")


def dockerfile(stepgate: str) -> None:
    text = (ROOT / "Dockerfile").read_text()
    done = run(str(pathlib.Path(sys.executable).parent / "hadolint"), str(ROOT / "Dockerfile"))
    expect(done.returncode == 0, f"hadolint: {done.stdout}{done.stderr}")
    health = re.search(r"HEALTHCHECK .*\\\n\s+CMD (\[.*\])", text)
    expect(health is not None, "there is no HEALTHCHECK that needs no shell")
    if health:
        asks(json.loads(health[1]), "HEALTHCHECK", stepgate)
    # What is copied must be let in by .dockerignore, which names all that may.
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied = {name for line in re.findall(r"^COPY (?!--from)(.*)$", text, re.M) for name in line.split()[:-1]}
    expect(copied == allowed, f"copied: {sorted(copied)}, let in: {sorted(allowed)}")
    # And be enough: the manifest may name no target whose file stays outside without a path of its own.
    with tempfile.TemporaryDirectory() as folder:
        for name in copied:
            place = pathlib.Path(folder) / name
            shutil.copytree(ROOT / name, place) if (ROOT / name).is_dir() else shutil.copy(ROOT / name, place)
        done = run("cargo", "fetch", "--locked", "--offline", "--manifest-path", f"{folder}/Cargo.toml")
        expect(done.returncode == 0, f"what is copied is no package: {done.stderr}")
        for script in re.findall(r"[\w/]+\.sh\b", text):
            expect(os.access(f"{folder}/{script}", os.X_OK), f"{script} is run, and is not copied, or no program")


def service(stepgate: str) -> None:
    text = SERVICE.read_text()
    stop = int(re.search(r"^TimeoutStopSec=(\d+)s$", text, re.M)[1])
    drain = re.search(r"^  drain: (\d+)s", (ROOT / "deploy/stepgate.yaml").read_text(), re.M)
    expect(stop >= int(drain[1]) + 10, "systemd kills it while it drains")
    with tempfile.TemporaryDirectory() as folder:
        unit = pathlib.Path(folder) / "stepgate.service"
        unit.write_text(text.replace(PROGRAM, stepgate))
        done = run("systemd-analyze", "verify", "--man=no", str(unit))
        expect(done.returncode == 0 and not done.stderr.strip(), f"systemd-analyze verify: {done.stderr}")
        done = run("systemd-analyze", "security", "--offline=true", f"--threshold={EXPOSURE}", str(unit))
        expect(done.returncode == 0, f"systemd-analyze security: {(done.stdout + done.stderr).strip().splitlines()[-1]}")


def main() -> int:
    stepgate = os.path.abspath(sys.argv[1])
    for tool in ["systemd-analyze", "openssl"]:
        if shutil.which(tool) is None:
            sys.exit(f"{tool} is missing; `make tools` installs it")
    documents = list(yaml.safe_load_all(SIDECAR.read_text()))
    schemas(documents)
    pod(documents, stepgate)
    config_maps(documents, stepgate)
    dockerfile(stepgate)
    service(stepgate)
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    if not problems:
        print(f"{len(documents)} Kubernetes objects, the Dockerfile and the systemd unit are what they should be")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
