"""The sketches for Kubernetes and the Dockerfile say what the server knows."""

import re
from pathlib import Path

import pytest
import yaml

FOLDER = Path("docs/kubernetes")


def read(name):
    return [*yaml.safe_load_all((FOLDER / name).read_text())]


def test_probes_ask_paths_that_the_server_has(client):
    deployment, service, _ = read("deployment.yaml")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    paths = client.get("/openapi.json").json()["paths"]
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        assert container[probe]["httpGet"]["path"] in paths
    port = container["ports"][0]
    assert f"EXPOSE {port['containerPort']}" in Path("Dockerfile").read_text()
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert service["spec"]["selector"] == labels


def test_prometheus_reads_what_the_server_has_with_its_token(client_of):
    deployment, _, monitor = read("deployment.yaml")
    template = deployment["spec"]["template"]
    labels = template["metadata"]["labels"]
    assert monitor["spec"]["selector"]["matchLabels"] == labels
    (asked,) = monitor["spec"]["podMetricsEndpoints"]
    (container,) = template["spec"]["containers"]
    assert asked["port"] == container["ports"][0]["name"]
    (variable,) = container["env"]
    secret = variable["valueFrom"]["secretKeyRef"]
    assert asked["authorization"] == {"credentials": secret}
    client = client_of(token="right")
    assert client.get(asked["path"]).status_code == 401
    right = {"Authorization": "Bearer right"}
    assert client.get(asked["path"], headers=right).status_code == 200


def test_their_options_are_the_commands():
    from pretrained_interfaces.serve.command import OPTIONS

    (container,) = read("deployment.yaml")[0]["spec"]["template"]["spec"][
        "containers"
    ]
    entry = re.search(r"ENTRYPOINT (\[.*\])", Path("Dockerfile").read_text())
    words = [*yaml.safe_load(entry[1]), *container["args"]]
    given = {word[2:] for word in words if word.startswith("--")}
    assert given - {"int8"} <= set(OPTIONS)


def test_the_ray_service_builds():
    pytest.importorskip("ray.serve")
    from pretrained_interfaces.serve.on_ray import Arguments

    (service,) = read("rayservice.yaml")
    (found,) = yaml.safe_load(service["spec"]["serveConfigV2"])["applications"]
    assert found["import_path"] == f"{Arguments.__module__}:app"
    assert Arguments(**found["args"]).max_replicas == 8
