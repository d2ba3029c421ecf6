"""What the operators' pages name is there."""

import re

import pytest
from manifests import OVERLAYS, ROOT

PAGES = ["deploy/README.md", "deploy/runbook.md", "k8s/README.md"]
every_page = pytest.mark.parametrize("page", PAGES)


@every_page
def test_links_lead_to_files(page):
    text = (ROOT / page).read_text()

    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / page).parent.joinpath(link).exists(), link


@every_page
def test_commands_name_files_and_overlays_that_are_there(page):
    text = (ROOT / page).read_text()

    for path in re.findall(r"(?<![\w/.=])(?:deploy|k8s|tests)/[\w./-]*\w", text):
        assert (ROOT / path).exists(), path
    for overlay in re.findall(r"k8s/overlays/(\w+)(?=[\s`])", text):
        assert overlay in OVERLAYS


def test_the_pages_about_kubernetes_name_every_folder():
    text = (ROOT / "k8s/README.md").read_text()

    for folder in (ROOT / "k8s").glob("*/*/kustomization.yaml"):
        assert f"`{folder.parent.relative_to(ROOT / 'k8s')}`" in text
