"""Keep of a Chinese font what the text of the book needs: python tools/book/pack_chinese.py FONT.woff2.

The product is committed, as the font it is made from is large. tests/book/test_publish.py finds what it lacks.
"""

import sys

from chapters import ROOT
from fontTools import subset
from publish import CHINESE

FONT = ROOT / "book" / "assets" / "vendor" / "noto-sans-sc" / "chinese.woff2"


def characters() -> str:
    """Return the Chinese characters of all pages."""
    paths = [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("book/*.md")]
    return "".join(sorted({c for path in paths for c in "".join(CHINESE.findall(path.read_text(encoding="utf-8")))}))


def main() -> None:
    """Write the font."""
    if len(sys.argv) != 2:
        sys.exit(__doc__.splitlines()[0])
    options = ["--flavor=woff2", "--layout-features=", "--no-hinting", "--desubroutinize", f"--output-file={FONT}"]
    subset.main([sys.argv[1], f"--text={characters()}", *options])
    print(f"{FONT.relative_to(ROOT)}: {FONT.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
