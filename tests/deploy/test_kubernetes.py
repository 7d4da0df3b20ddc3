"""The manifests: fit for Kubernetes' own schemas, strictly, and for each other."""

from __future__ import annotations

import re
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.commands import parse
from tests.deploy.roles import ROOT, command_of, manifests, port_of, services

VERSIONS = ("1.30", "1.33", kubernetes_validate.latest_version().rpartition(".")[0])
"""The oldest for which they are meant, one between, and the newest that is known."""
OBJECTS = list(manifests())
NAMES = [f"{each['kind']}/{each['metadata']['name']}" for _, each in OBJECTS]
RUNNING = {each["metadata"]["name"]: each for _, each in OBJECTS if each["kind"] == "Deployment"}
PODS = {
    each["metadata"]["name"]: each["spec"]["template"] for _, each in OBJECTS if each["kind"] in ("Deployment", "Job")
}
HOWTO = (ROOT / "docs/howto/run-on-kubernetes.md").read_text()


def _of(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for _, each in OBJECTS if each["kind"] == kind}


def _container(pod: dict[str, Any]) -> dict[str, Any]:
    (container,) = pod["spec"]["containers"]
    found: dict[str, Any] = container
    return found


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("said", [each for _, each in OBJECTS], ids=NAMES)
def test_kubernetes_knows_every_word(said: dict[str, Any], version: str) -> None:
    assert kubernetes_validate.validate(said, version, strict=True) == version


@pytest.mark.parametrize("wrong", [{"replica": 2}, {"replicas": "2"}, {"strategy": {"type": []}}])
def test_what_it_does_not_know_is_found(wrong: dict[str, Any]) -> None:
    spoilt = RUNNING["web"] | {"spec": RUNNING["web"]["spec"] | wrong}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(spoilt, VERSIONS[-1], strict=True)


def test_all_is_there_once_and_in_one_place() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert RUNNING.keys() == {"web", "worker", "delay"}
    assert PODS.keys() == {*RUNNING, "migrate"}
    (place,) = _of("Namespace")
    assert {each["metadata"].get("namespace") for _, each in OBJECTS if each["kind"] != "Namespace"} == {place}


@pytest.mark.parametrize("name", PODS)
def test_a_pod_may_do_little(name: str) -> None:
    spec, container = PODS[name]["spec"], _container(PODS[name])
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert all("sizeLimit" in each["emptyDir"] for each in spec["volumes"])
    assert not spec.keys() & {"hostNetwork", "hostPID", "hostIPC"}
    # Memory is bounded; CPU is not, since a worker that is held back is a worker that is late.
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert container["resources"]["limits"].keys() == {"memory"}


@pytest.mark.parametrize("name", PODS)
def test_a_role_is_what_it_is_in_compose(name: str) -> None:
    command = tuple(_container(PODS[name])["args"])
    parse(command)
    # How much it says is for whoever runs it.
    assert command[:-1] == command_of(services()[name])[:-1]
    assert {_container(each)["image"] for each in PODS.values()} == {_container(PODS["web"])["image"]}


@pytest.mark.parametrize("name", RUNNING)
def test_a_probe_asks_where_somebody_answers(name: str) -> None:
    container = _container(PODS[name])
    port = port_of(tuple(container["args"]))
    assert [each["containerPort"] for each in container["ports"]] == [port]
    for probe, path in (("startupProbe", "healthz"), ("livenessProbe", "healthz"), ("readinessProbe", "readyz")):
        asked = container[probe]
        # Longer than the probe itself waits, which says why.
        assert asked["timeoutSeconds"] > 4
        if "exec" in asked:
            assert asked["exec"]["command"] == ["python", "-m", "config.probe", f"{port}/{path}"]
        else:
            assert asked["httpGet"]["path"] == f"/{path}"
            assert asked["httpGet"]["port"] == container["ports"][0]["name"]
            told = {each["name"]: each["value"] for each in asked["httpGet"]["httpHeaders"]}
            assert told["Host"] == _of("ConfigMap")["progrock"]["data"]["ALLOWED_HOSTS"].split()[0]


@pytest.mark.parametrize("name", RUNNING)
def test_a_pod_has_the_time_to_end(name: str) -> None:
    spec = PODS[name]["spec"]
    before = _container(PODS[name]).get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["sleep", 0])
    assert before[0] == "sleep"
    # What a worker needs to finish or give back, 5 s, and then some.
    assert spec["terminationGracePeriodSeconds"] - int(before[1]) >= 15
    assert ("preStop" in _container(PODS[name]).get("lifecycle", {})) == (name == "web")


@pytest.mark.parametrize("name", RUNNING)
def test_one_may_go_at_a_time(name: str) -> None:
    labels = PODS[name]["metadata"]["labels"]
    budget = _of("PodDisruptionBudget")[name]["spec"]
    assert budget["maxUnavailable"] == 1
    assert RUNNING[name]["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    for selected in (RUNNING[name]["spec"]["selector"], budget["selector"]):
        assert selected["matchLabels"] == labels
    spread = PODS[name]["spec"]["topologySpreadConstraints"]
    assert {each["labelSelector"]["matchLabels"]["app.kubernetes.io/component"] for each in spread} == {name}
    scaled = {each["spec"]["scaleTargetRef"]["name"]: each["spec"] for each in _of("HorizontalPodAutoscaler").values()}
    # Where something counts them, the manifest does not, or it would set them back each time.
    least = scaled[name]["minReplicas"] if name in scaled else RUNNING[name]["spec"]["replicas"]
    assert least >= 2
    assert (name in scaled) != ("replicas" in RUNNING[name]["spec"])


def test_the_way_from_outside_leads_to_the_web_processes() -> None:
    (ingress,) = _of("Ingress").values()
    (rule,) = ingress["spec"]["rules"]
    assert rule["host"] in _of("ConfigMap")["progrock"]["data"]["ALLOWED_HOSTS"].split()
    (path,) = rule["http"]["paths"]
    service = _of("Service")[path["backend"]["service"]["name"]]["spec"]
    (port,) = service["ports"]
    assert port["name"] == path["backend"]["service"]["port"]["name"]
    assert port["targetPort"] == _container(PODS["web"])["ports"][0]["name"]
    assert service["selector"] == PODS["web"]["metadata"]["labels"]


def test_no_secret_is_in_them() -> None:
    assert _of("Secret") == {}
    for pod in PODS.values():
        assert _container(pod)["envFrom"] == [
            {"configMapRef": {"name": "progrock"}},
            {"secretRef": {"name": "progrock"}},
        ]
    made = set(re.findall(r"--from-literal=(\w+)=", HOWTO))
    assert made == {"SECRET_KEY", "DATABASE_URL", "REDIS_URL", "METRICS_TOKEN"}
    known = (ROOT / "config/settings.py").read_text()
    for name in made | _of("ConfigMap")["progrock"]["data"].keys():
        assert f'"{name}"' in known, name


def test_what_is_scaled_by_is_told_to_the_adapter() -> None:
    (worker,) = _of("HorizontalPodAutoscaler").values()
    asked = {each["external"]["metric"]["name"] for each in worker["spec"]["metrics"]}
    (said,) = re.findall(r"```yaml adapter\n(.*?)```", HOWTO, re.DOTALL)
    rules = yaml.safe_load(said)["externalRules"]
    assert asked == {rule["name"]["as"] for rule in rules}
    exported = (ROOT / "docs/reference/metrics.md").read_text()
    for rule in rules:
        used = set(re.findall(r"\bprogrock_\w+", rule["metricsQuery"]))
        assert rule["seriesQuery"] in used
        for name in used:
            assert f"`{name.removesuffix('_bucket')}`" in exported, name


def test_every_file_is_told() -> None:
    told = set(re.findall(r"^\| `([\w-]+\.yaml)` \|", HOWTO, re.MULTILINE))
    assert told == {name for name, _ in OBJECTS}
