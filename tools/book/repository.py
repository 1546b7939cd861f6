"""The address of the public repository: one setting, from which buttons and set-up cells get theirs.

It is `repository.url` in _config.yml, or RESNET_EDU_REPOSITORY_URL in the environment, which wins. As long as it is
not set, no page has a button that leads somewhere else: Jupyter Book would fill the gap with its own repository.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

VARIABLE = "RESNET_EDU_REPOSITORY_URL"
EXAMPLE = "https://github.com/OWNER/NAME"  # what _config.yml shows
# On GitHub it has two parts, and what a browser shows of a branch or a file has more.
ADDRESS = r"https://(github\.com/[^/\s]+/[^/\s]+|(?!github\.com/)[^/\s]+/\S+)"
SITE_VARIABLE = "RESNET_EDU_SITE_URL"  # where the built site will be, for a sitemap and links that are shared
SOURCE_VARIABLE = "RESNET_EDU_SOURCE"  # install from here instead, e.g. from a wheel on a server of one's own


@dataclass(frozen=True)
class Repository:
    """Where the project is kept; all empty while that is not known.

    url:    https://github.com/OWNER/NAME or the like, without a slash at the end.
    branch: the branch that readers get.
    source: what pip installs the package from: the branch's archive on GitHub (which needs no git), else git+URL.
    address: where the built site will be, if that is told.
    """

    url: str = ""
    branch: str = "main"
    source: str = ""
    address: str = ""

    @classmethod
    def from_config(cls, path: Path, environment: Mapping[str, str] = os.environ) -> Repository:
        """Read _config.yml and the environment. Raises `ValueError` for an address that is none."""
        settings = yaml.safe_load(path.read_text(encoding="utf-8")).get("repository") or {}
        branch = settings.get("branch") or "main"
        url = (environment.get(VARIABLE) or settings.get("url") or "").strip().rstrip("/").removesuffix(".git")
        if url and (not re.fullmatch(ADDRESS, url) or url == EXAMPLE):
            raise ValueError(
                f"the address of the repository is {url!r}, and it must look like {EXAMPLE}, with your names: "
                f"mend `repository.url` in _config.yml, or {VARIABLE}"
            )
        source = f"git+{url}@{branch}" if url else ""
        if url.startswith("https://github.com/"):
            source = f"{url}/archive/refs/heads/{branch}.zip"
        address = environment.get(SITE_VARIABLE, "").strip()
        return cls(url, branch, environment.get(SOURCE_VARIABLE) or source, address)

    @property
    def site(self) -> str:
        """Where the site will be, with a slash at the end: `address`, or GitHub's pages; "" if unknown."""
        on_github = re.fullmatch(r"https://github\.com/([^/]+)/([^/]+)", self.url)
        address = self.address or (f"https://{on_github[1].lower()}.github.io/{on_github[2]}" if on_github else "")
        return address.rstrip("/") + "/" if address else ""

    def settings(self) -> dict[str, Any]:
        """Return what Jupyter Book's configuration needs in addition, for the buttons at the head of a page."""
        site = {"html": {"baseurl": self.site}} if self.site else {}
        if not self.url:
            return site
        on_github = self.url.startswith("https://github.com/")  # the only host that Colab opens notebooks from
        hosted = {"colab_url": "https://colab.research.google.com", "binderhub_url": "https://mybinder.org"}
        return {
            "repository": {"url": self.url, "branch": self.branch, "path_to_book": ""},
            "launch_buttons": {"thebe": False, **(hosted if on_github else {})},
            "html": {"use_repository_button": True, "use_issues_button": True, **site.get("html", {})},
        }


def merged(config: dict[str, Any], more: dict[str, Any]) -> dict[str, Any]:
    """Return `config` with the settings `more` put in, section by section; neither is changed."""
    both = dict(config)
    for key, value in more.items():
        both[key] = {**(config.get(key) or {}), **value} if isinstance(value, dict) else value
    return both
