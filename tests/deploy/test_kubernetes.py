"""The manifests: held to the schemas of Kubernetes, to each other, and to what the gate itself says of its configuration."""
import re
import subprocess

import kubernetes_validate
import pytest
import yaml
from conftest import DEPLOY, GATE, free_ports, eventually, run

FOLDER = DEPLOY / "kubernetes"
# the oldest that knows all fields (the pause before the end), and the newest that this validator knows
VERSIONS = ["1.30", kubernetes_validate.latest_version()]
DOCUMENTS = [
    (path.name, document)
    for path in sorted(FOLDER.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
PASSWORD = {"GLANCE_GATE_KEYSTONE_AUTHTOKEN_PASSWORD": "x"}


def one(kind, name="glance-gate"):
    (found,) = [document for _, document in DOCUMENTS if document["kind"] == kind and document["metadata"]["name"] == name]
    return found


def the_container():
    (container,) = one("Deployment")["spec"]["template"]["spec"]["containers"]
    return container


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_fits_the_schema_of_its_kind(version):
    kinds = set()
    for file, document in DOCUMENTS:
        kinds.add(document["kind"])
        if document["kind"] == "ServiceMonitor":
            continue  # a kind of the Prometheus operator's, which is looked at below
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            pytest.fail(f"{file}: {error.message} at {list(error.path)}")
    assert kinds == {"ConfigMap", "Deployment", "HorizontalPodAutoscaler", "NetworkPolicy", "PodDisruptionBudget", "Service",
                     "ServiceAccount", "ServiceMonitor"}


def test_the_schemas_refuse_what_is_misspelled():
    wrong = yaml.safe_load(yaml.safe_dump(one("Deployment")))
    wrong["spec"]["template"]["spec"]["containers"][0]["livenesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_the_yaml_has_no_key_twice_and_no_odd_spacing():
    run("yamllint", "--strict", "-d", "{extends: default, rules: {line-length: {max: 130}, document-start: disable, "
        "comments-indentation: disable, truthy: {check-keys: false}}}", FOLDER, DEPLOY / "openstack-helm", DEPLOY / "kolla/globals.yml")


def test_the_gate_takes_the_configuration_and_its_ports_are_those_of_the_manifests(tmp_path):
    config = tmp_path / "gate.toml"
    config.write_text(one("ConfigMap")["data"]["gate.toml"])
    # a name of the cluster leads nowhere here
    config.write_text(config.read_text().replace("glance-api.openstack.svc.cluster.local", "127.0.0.1"))
    run(GATE, "check", "--config", config, env=PASSWORD)
    ports = {port["name"]: port["containerPort"] for port in the_container()["ports"]}
    assert ports == {"image": 9292, "operators": 9294}
    assert 'listen = "0.0.0.0:9292"' in config.read_text() and 'listen = "0.0.0.0:9294"' in config.read_text()
    assert the_container()["args"] == ["serve", "--config", "/etc/glance-gate/gate.toml"]
    assert the_container()["env"][0]["name"] == next(iter(PASSWORD))


def test_the_probes_ask_what_the_gate_answers(tmp_path):
    clients, operators, nobody = free_ports(3)
    (tmp_path / "gate.toml").write_text(
        f'[server]\nlisten = "127.0.0.1:{clients}"\nworkers = 1\n[admin]\nlisten = "127.0.0.1:{operators}"\n'
        f'[upstream]\nservers = ["http://127.0.0.1:{nobody}"]\nhealth_check_interval = "50ms"\n'
    )
    probes = {name: the_container()[f"{name}Probe"]["httpGet"] for name in ("startup", "liveness", "readiness")}
    assert {probe["port"] for probe in probes.values()} == {"operators"}
    with subprocess.Popen([GATE, "serve", "--config", tmp_path / "gate.toml"], env=PASSWORD, stdout=subprocess.DEVNULL) as gate:
        def code(name):
            url = f"http://127.0.0.1:{operators}{probes[name]['path']}"
            done = subprocess.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", url], capture_output=True, text=True)
            return int(done.stdout)

        eventually("the gate has started", lambda: code("startup") == 200)
        eventually("without Glance it is not ready", lambda: code("readiness") == 503)
        assert code("liveness") == 200, "and yet it is not started anew"
        gate.terminate()


def test_the_pod_has_no_rights_and_nothing_to_write():
    pod = one("Deployment")["spec"]["template"]["spec"]
    security, container = pod["securityContext"], the_container()["securityContext"]
    assert security["runAsNonRoot"] and security["runAsUser"] == security["runAsGroup"] == 42424
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["readOnlyRootFilesystem"] and not container["allowPrivilegeEscalation"]
    assert container["capabilities"] == {"drop": ["ALL"]}
    assert pod["automountServiceAccountToken"] is False
    assert all(mount["readOnly"] for mount in the_container()["volumeMounts"])
    # as the image is
    assert "USER 42424:42424" in (DEPLOY / "container/Containerfile").read_text()


def test_it_has_time_to_drain():
    pod = one("Deployment")["spec"]["template"]["spec"]
    pause = the_container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert 'drain_timeout = "30s"' in one("ConfigMap")["data"]["gate.toml"]
    assert pod["terminationGracePeriodSeconds"] > pause + 30


def test_everything_selects_the_same_pods_and_ports():
    labels = one("Deployment")["spec"]["template"]["metadata"]["labels"]
    for selector in (
        one("Deployment")["spec"]["selector"]["matchLabels"],
        one("Service")["spec"]["selector"],
        one("Service", "glance-gate-operators")["spec"]["selector"],
        one("PodDisruptionBudget")["spec"]["selector"]["matchLabels"],
        one("NetworkPolicy")["spec"]["podSelector"]["matchLabels"],
    ):
        assert selector.items() <= labels.items()
    assert one("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]["name"] == one("Deployment")["metadata"]["name"]
    assert "replicas" not in one("Deployment")["spec"], "or each change would undo what the autoscaler did"
    monitor, service = one("ServiceMonitor"), one("Service", "glance-gate-operators")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["endpoints"][0]["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert service["metadata"]["labels"][monitor["spec"]["jobLabel"]] == "glance-gate", "the job of the alerts"


@pytest.mark.parametrize("version", VERSIONS)
def test_what_the_network_lets_out_besides_is_good_once_its_marks_are_taken_away(version):
    text = (FOLDER / "networkpolicy.yaml").read_text().split("\n---\n")[0]
    optional = re.sub(r"^    # ", "    ", text.partition("from here on: ")[2].partition("\n")[2], flags=re.M)
    whole = text.partition("    # Whatever else")[0] + optional
    policy = yaml.safe_load(whole)
    kubernetes_validate.validate(policy, version, strict=True)
    ports = [rule["ports"][0]["port"] for rule in policy["spec"]["egress"]]
    assert ports == [53, 5000, 9292, 6379, 5672, 443]
    assert all(rule["to"] for rule in policy["spec"]["egress"]), "a rule without a destination opens all"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_sidecar_of_openstack_helm_is_a_good_container(version, tmp_path):
    values = yaml.safe_load((DEPLOY / "openstack-helm/values.yaml").read_text())
    (container,) = values["pod"]["extraContainers"]["glance_api"]
    (volume,) = values["pod"]["extraVolumes"]["glance_api"]
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [container], "volumes": [volume]}}
    kubernetes_validate.validate(pod, version, strict=True)
    policy = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": {"name": "x"},
              "spec": {"podSelector": {}, "ingress": values["network_policy"]["glance"]["ingress"]}}
    kubernetes_validate.validate(policy, version, strict=True)
    ports = {port["containerPort"] for port in container["ports"]}
    allowed = {rule["port"] for rule in values["network_policy"]["glance"]["ingress"][0]["ports"]}
    assert values["network"]["api"]["target_port"] in ports and allowed == ports

    # the variables go before the ConfigMap, and are what the gate knows
    config = tmp_path / "gate.toml"
    config.write_text(one("ConfigMap")["data"]["gate.toml"])
    environment = {variable["name"]: variable["value"] for variable in container["env"] if "value" in variable}
    run(GATE, "check", "--config", config, env={**environment, **PASSWORD})
