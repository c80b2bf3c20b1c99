"""MkDocs hook: pages of the site that are files beside docs/, so that no text exists twice."""

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGES = {"README.md": "index.md", "SECURITY.md": "security.md", "CHANGELOG.md": "changelog.md"}
"""File at the top of the repository -> page of the site."""

LINKS = {**PAGES, "CONTRIBUTING.md": "contributing.md"}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Add the pages, with links as they are inside docs/."""
    top = Path(config.docs_dir).parent
    for name, page in PAGES.items():
        files.append(File.generated(config, page, content=_inside_docs((top / name).read_text())))
    return files


def _inside_docs(text: str) -> str:
    """Links of a page at the top, rewritten; files that are not in the site become plain text."""

    def rewrite(link: re.Match[str]) -> str:
        label, target = link.groups()
        if re.match(r"[a-z]+:|#", target):
            return link[0]
        path, hash_, anchor = target.partition("#")
        if path.startswith("docs/"):
            return f"[{label}]({path.removeprefix('docs/')}{hash_}{anchor})"
        return f"[{label}]({LINKS[path]}{hash_}{anchor})" if path in LINKS else label

    return re.sub(r"\[([^\]]*)\]\(([^)\s]+)\)", rewrite, text)
