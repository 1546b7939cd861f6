"""Citations as plain Markdown: Jupyter and Colab show the roles that the site's pages use as code.

Scope: `{cite:t}` and `{cite:p}` in the copies of the notebooks that readers download become the words of the
page, as a link to the work itself; a notebook has no list of references to link to.
"""

from __future__ import annotations

import re
from pathlib import Path

from pybtex.database import Entry, parse_file

ROLE = re.compile(r"\{cite:([tp])\}`([^`]+)`")


def authors(entry: Entry) -> str:
    """Return the last names as the pages have them: "Ada", "Ada and Bell" or "Ada et al."."""
    names = [" ".join([*person.prelast_names, *person.last_names]) for person in entry.persons["author"]]
    plain = [re.sub(r"[{}]", "", name) for name in names]
    return plain[0] if len(plain) == 1 else " and ".join(plain) if len(plain) == 2 else f"{plain[0]} et al."


def address(entry: Entry) -> str:
    """Return where the work is: by its DOI, else its own address, else its number at arXiv; "" for none."""
    fields = entry.fields
    if "doi" in fields:
        return f"https://doi.org/{fields['doi']}"
    return fields.get("url") or (f"https://arxiv.org/abs/{fields['eprint']}" if "eprint" in fields else "")


def as_markdown(text: str, bibliography: Path) -> str:
    """Return Markdown in which every citation is in words, linked to the work.

    Raises `KeyError` for a citation that the bibliography does not have.
    """
    entries = parse_file(str(bibliography)).entries

    def words(match: re.Match[str]) -> str:
        cited = []
        for key in match[2].split(","):
            entry = entries[key.strip()]
            name, year = authors(entry), entry.fields["year"]
            label = f"{name}, {year}" if match[1] == "p" else f"{name} ({year})"
            cited.append(f"[{label}]({address(entry)})" if address(entry) else label)
        return f"({'; '.join(cited)})" if match[1] == "p" else ", ".join(cited)

    return ROLE.sub(words, text)
