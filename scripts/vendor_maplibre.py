"""Copy MapLibre GL JS from npm into the page's folder, checked against its published SHA-512.

    python scripts/vendor_maplibre.py

Three files and the licence are kept; the packages' names of source maps are taken out, so that a
browser's developer tools ask for nothing that is not there. tests/geoindex/serve/test_page.py holds
the files against the digests in vendor/README.md.
"""

import base64
import hashlib
import io
import re
import sys
import tarfile
import urllib.request
from pathlib import Path

VERSION = "6.17.0"
URL = f"https://registry.npmjs.org/maplibre-gl/-/maplibre-gl-{VERSION}.tgz"
SHA512 = "2chIZwpLGenoUQOcnm9Pk4SLbA8ppNFq8jlpXiq9vcYm3Y1wJ3fc82FL0GLwBaPYJCLzPv/mC46KEupVov75rQ=="
FILES = {
    "package/dist/maplibre-gl.mjs": "maplibre-gl.mjs",
    "package/dist/maplibre-gl-worker.mjs": "maplibre-gl-worker.mjs",
    "package/dist/maplibre-gl.css": "maplibre-gl.css",
    "package/LICENSE.txt": "LICENSE.txt",
}
FOLDER = Path(__file__).parents[1] / "geoindex" / "serve" / "page" / "vendor"
_SOURCE_MAP = re.compile(rb"^(//|/\*)# sourceMappingURL=.*$\n?", re.MULTILINE)


def main() -> None:
    """Download, check, and write the files and the list of their digests."""
    with urllib.request.urlopen(URL) as answer:
        archive = answer.read()
    found = base64.b64encode(hashlib.sha512(archive).digest()).decode()
    if found != SHA512:
        sys.exit(f"{URL} has SHA-512 {found}, want {SHA512}")
    FOLDER.mkdir(parents=True, exist_ok=True)
    lines = [
        f"MapLibre GL JS {VERSION}, BSD-3-Clause (LICENSE.txt), from",
        f"<{URL}>, by `scripts/vendor_maplibre.py`. SHA-512 of the files:",
        "",
    ]
    with tarfile.open(fileobj=io.BytesIO(archive)) as package:
        for source, name in FILES.items():
            member = package.extractfile(source)
            assert member is not None  # noqa: S101 - all are files
            content = _SOURCE_MAP.sub(b"", member.read())
            (FOLDER / name).write_bytes(content)
            lines.append(f"    {hashlib.sha512(content).hexdigest()}  {name}")
    (FOLDER / "README.md").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    main()
