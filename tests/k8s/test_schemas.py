"""Every overlay, rendered by a current kustomize, is what Kubernetes and the operators accept, field for field."""

import importlib

import kubernetes_validate
import pytest
from manifests import OVERLAYS, Manifests

KUBERNETES = "1.37"
# The operators' own types, generated from their resource definitions.
OPERATORS = {
    "monitoring.coreos.com/v1": "cloudcoil.models.prometheus_operator.v1",
    "keda.sh/v1alpha1": "cloudcoil.models.keda.v1alpha1",
}


def of_kubernetes(thing):
    return thing["apiVersion"] not in OPERATORS


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_knows_every_field(overlay):
    for thing in filter(of_kubernetes, Manifests(overlay).objects):
        kubernetes_validate.validate(thing, KUBERNETES, strict=True)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_operators_know_every_field(overlay):
    for thing in Manifests(overlay).objects:
        if of_kubernetes(thing):
            continue
        model = getattr(importlib.import_module(OPERATORS[thing["apiVersion"]]), thing["kind"])

        understood = model.model_validate(thing).model_dump(mode="json", by_alias=True, exclude_unset=True)

        # The models pass over keys that they do not know: those are missing from what they give back.
        assert understood == thing


def test_a_misspelt_field_would_be_found():
    manifests = Manifests("cpu")
    deployment = manifests.one("Deployment")
    deployment["spec"]["template"]["spec"]["terminationGraceSeconds"] = 1

    with pytest.raises(kubernetes_validate.ValidationError, match="terminationGraceSeconds"):
        kubernetes_validate.validate(deployment, KUBERNETES, strict=True)
