"""The manifests and the dashboard, as far as a machine without a cluster can tell."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from sale import config
from sale.cli.main import app
from sale.server.observing.metrics import Metrics

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
METRIC = re.compile(r"\bsale_[a-z_]+\b")


def read(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load_all((FOLDER / name).read_text(encoding="utf-8")))


def kind(name: str, wanted: str) -> dict[str, Any]:
    (found,) = (one for one in read(name) if one["kind"] == wanted)
    return found


@pytest.fixture
def deployment() -> dict[str, Any]:
    return kind("gateway.yaml", "Deployment")["spec"]


def validate(*files: Path) -> subprocess.CompletedProcess[str]:
    command = "from kubernetes_validate.__main__ import main; import sys; sys.exit(main())"
    arguments = ["--strict", *map(str, files)]
    return subprocess.run([sys.executable, "-c", command, *arguments], capture_output=True, text=True, check=False)


def test_manifests_are_what_kubernetes_says(tmp_path: Path) -> None:
    found = validate(*(FOLDER / name for name in ("gateway.yaml", "migrate.yaml", "admin.yaml")))
    assert found.returncode == 0, found.stdout + found.stderr
    text = (FOLDER / "gateway.yaml").read_text(encoding="utf-8")
    for right, wrong in (("readinessProbe", "readinesProbe"), ("replicas: 2", "replicas: two")):
        broken = tmp_path / "broken.yaml"
        assert right in text
        broken.write_text(text.replace(right, wrong), encoding="utf-8")
        assert validate(broken).returncode != 0, f"{wrong} is not found"


def test_a_gateway_has_time_to_leave(deployment: dict[str, Any]) -> None:
    settings = config.load(FOLDER / "sale.toml").server
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    probe = container["readinessProbe"]
    noticed = probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]
    assert settings.leave_seconds > noticed, "a balancer notices before the gateway stops to answer"
    assert pod["terminationGracePeriodSeconds"] > settings.leave_seconds + settings.drain_seconds + 10
    assert deployment["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert settings.ledger == "before"


def test_names_lead_somewhere(deployment: dict[str, Any]) -> None:
    kustomization = kind("kustomization.yaml", "Kustomization")
    assert all((FOLDER / name).is_file() for name in kustomization["resources"])
    (generated,) = kustomization["configMapGenerator"]
    assert all((FOLDER / name).is_file() for name in generated["files"])
    images = {one["name"] for one in kustomization["images"]}
    service, budget = kind("gateway.yaml", "Service")["spec"], kind("gateway.yaml", "PodDisruptionBudget")["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert service["selector"] == budget["selector"]["matchLabels"] == deployment["selector"]["matchLabels"] == labels
    (container,) = deployment["template"]["spec"]["containers"]
    assert [port["containerPort"] for port in container["ports"]] == [config.load(FOLDER / "sale.toml").server.port]
    assert service["ports"][0]["targetPort"] == container["ports"][0]["name"]
    others = kind("migrate.yaml", "Job"), kind("admin.yaml", "Deployment")
    for pod in (deployment["template"]["spec"], *(one["spec"]["template"]["spec"] for one in others)):
        volumes = {one["name"]: one for one in pod["volumes"]}
        assert volumes["settings"]["configMap"]["name"] == generated["name"]
        for one in (*pod["containers"], *pod.get("initContainers", ())):
            assert one["image"] in images
            assert {mount["name"] for mount in one["volumeMounts"]} == set(volumes)
            assert one["securityContext"]["readOnlyRootFilesystem"] is True
            assert one["envFrom"] == [{"secretRef": {"name": "sale"}}]
            if "args" in one:
                assert CliRunner().invoke(app, [*one["args"], "--help"]).exit_code == 0


def test_the_batch_runs_a_command_that_there_is() -> None:
    job, claim = kind("batch.yaml", "RayJob"), kind("batch.yaml", "PersistentVolumeClaim")
    program, verb, *arguments = job["spec"]["entrypoint"].split()
    assert program == "sale"
    assert CliRunner().invoke(app, [verb, *arguments, "--help"]).exit_code == 0
    cluster = job["spec"]["rayClusterSpec"]
    head, (workers,) = cluster["headGroupSpec"], cluster["workerGroupSpecs"]
    pods = [one["template"]["spec"] for one in (head, workers)]
    assert pods[0]["volumes"][1]["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
    mounted = {mount["mountPath"] for mount in pods[0]["containers"][0]["volumeMounts"]}
    assert all(Path(word).parent.as_posix() in mounted for word in arguments if word.startswith("/"))
    processors = int(workers["rayStartParams"]["num-cpus"]) * workers["replicas"]
    assert int(arguments[arguments.index("--workers") + 1]) <= processors
    for pod in pods:
        (container,) = pod["containers"]
        assert {"name": "RAY_USAGE_STATS_ENABLED", "value": "0"} in container["env"]
        base = (FOLDER / "ray.Dockerfile").read_text(encoding="utf-8")
        assert f"FROM rayproject/ray:{cluster['rayVersion']}-" in base
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert f"\nray=={cluster['rayVersion']} " in lock, "all nodes have the version of the lock file"


def test_every_metric_of_the_dashboard_is_exported() -> None:
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "sale.json").read_text(encoding="utf-8"))
    exported: set[str] = set()
    for family in Metrics().registry.collect():
        more = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
        exported |= {family.name + end for end in more}
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    named = {name for text in asked for name in METRIC.findall(text)}
    assert named <= exported, named - exported
    families = {family.name for family in Metrics().registry.collect()}
    shown = {family for family in families if any(name.startswith(family) for name in named)}
    assert shown == families, f"not on the dashboard: {families - shown}"
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"])
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in dashboard["panels"]}
    assert len(places) == len(dashboard["panels"]), "no panel lies on another"
