"""The manifests, as kustomize builds them, are what the API of Kubernetes accepts. No cluster is asked."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.engines import REPOSITORY, run
from tests.questions import Answers
from tests.renders import Renders, once

Manifest = dict[str, Any]
ENVIRONMENTS = ("dev", "staging", "prod")
# The oldest that knows `preStop.sleep` without a feature gate, and the newest with schemas.
VERSIONS = ("1.30", kubernetes_validate.latest_version())
BASE = REPOSITORY / "template/deploy/kubernetes/base"


SLUGS: dict[str, Answers] = {
    "ai-service": {},
    "x": {"project_slug": "x", "project_name": "日"},
    "a" * 50: {"project_slug": "a" * 50},
}
Build = Callable[..., list[Manifest]]


@pytest.fixture
def build(lean_template: Path, renders: Renders, store: Path) -> Build:
    """The output of `kubectl kustomize` for an environment of a project: made once for all tests."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")

    def build(environment: str, slug: str = "ai-service") -> list[Manifest]:
        service = renders.by_copier(lean_template, SLUGS[slug])
        overlay = service / "deploy/kubernetes/overlays" / environment
        built = once(
            store / "kustomize" / slug / environment,
            "manifests.yaml",
            lambda made: made.write_text(run("kubectl", "kustomize", str(overlay))),
        )
        return list(yaml.safe_load_all(built.read_text()))

    return build


def of_kind(kind: str, manifests: list[Manifest]) -> Manifest:
    """The one of the API; there is a worker too, and in dev a Redis."""
    (found,) = (
        each
        for each in manifests
        if each["kind"] == kind and not each["metadata"]["name"].endswith(("redis", "-worker"))
    )
    return found


def containers(manifests: list[Manifest]) -> Iterator[tuple[Manifest, Manifest]]:
    for manifest in manifests:
        if manifest["kind"] == "Deployment":
            pod = manifest["spec"]["template"]["spec"]
            yield from ((pod, container) for container in pod["containers"])


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_built_manifests_are_valid(build: Build, environment: str, version: str) -> None:
    for manifest in build(environment):
        kubernetes_validate.validate(manifest, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(
    "path", [path for path in BASE.glob("*.yaml") if path.stem != "kustomization"], ids=lambda p: p.stem
)  # fmt: skip
def test_each_file_of_the_base_is_valid_by_itself(path: Path, version: str) -> None:
    """Also where there is no kubectl, which the other tests here build the overlays with."""
    kubernetes_validate.validate(yaml.safe_load(path.read_text()), version, strict=True)


def test_a_mistake_in_a_manifest_is_reported() -> None:
    manifest = yaml.safe_load((BASE / "deployment.yaml").read_text())
    manifest["spec"]["template"]["spec"]["terminationGracePeriod"] = 35
    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGracePeriod"):
        kubernetes_validate.validate(manifest, VERSIONS[0], strict=True)


@pytest.mark.parametrize("slug", SLUGS, ids=["default", "shortest", "longest"])
@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_objects_and_what_refers_to_them_have_the_name_of_the_project(
    build: Build, slug: str, environment: str
) -> None:
    manifests = build(environment, slug)
    deployment = of_kind("Deployment", manifests)
    assert deployment["metadata"]["name"] == f"{slug}-api"
    assert len(of_kind("Service", manifests)["metadata"]["name"]) <= 63  # it becomes a host's name
    config, secret = deployment["spec"]["template"]["spec"]["containers"][0]["envFrom"]
    assert config["configMapRef"]["name"] == of_kind("ConfigMap", manifests)["metadata"]["name"]
    assert secret["secretRef"]["name"] == f"{slug}-secrets"
    pods = deployment["spec"]["template"]["metadata"]["labels"]
    assert pods["app.kubernetes.io/name"] == slug
    selector = of_kind("NetworkPolicy", manifests)["spec"]["podSelector"]
    assert selector["matchLabels"] == {"app.kubernetes.io/name": slug}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_worker_has_the_settings_and_the_secret_of_the_api(
    build: Build, environment: str
) -> None:
    manifests = build(environment)
    (worker,) = (each for each in manifests if each["metadata"]["name"] == "ai-service-worker")
    pods = [each["spec"]["template"]["spec"] for each in (worker, of_kind("Deployment", manifests))]
    own, apis = (pod["containers"][0] for pod in pods)
    assert (own["envFrom"], own["image"]) == (apis["envFrom"], apis["image"])


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_several_replicas_are_scaled_and_kept(build: Build, environment: str) -> None:
    manifests = build(environment)
    pods = of_kind("Deployment", manifests)["spec"]["template"]["metadata"]["labels"]
    scaler = of_kind("HorizontalPodAutoscaler", manifests)["spec"]
    assert scaler["scaleTargetRef"]["name"] == of_kind("Deployment", manifests)["metadata"]["name"]
    assert 1 < scaler["minReplicas"] < scaler["maxReplicas"]
    assert of_kind("PodDisruptionBudget", manifests)["spec"]["selector"]["matchLabels"] == pods
    assert "replicas" not in of_kind("Deployment", manifests)["spec"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_container_runs_as_root_or_with_capabilities(build: Build, environment: str) -> None:
    for pod, container in containers(build(environment)):
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["runAsUser"] >= 10_000
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_manifest_holds_a_secret(build: Build, environment: str) -> None:
    assert "Secret" not in {manifest["kind"] for manifest in build(environment)}
