"""Turn pip's installation report into a list of exact versions with hashes; used by `make lock`.

`pip install --dry-run --ignore-installed --report REPORT.json ...` finds the files that would be
installed here; a hash makes sure that it will be those files and no others.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

HEAD = """\
# Every package with the sha256 of its file, for Linux (x86-64), Python 3.11; made by `make lock`.
# `make setup LOCKED=1` installs exactly these files; `make audit` asks for known vulnerabilities.
"""


def lines(report: dict[str, Any]) -> list[str]:
    """`name==version --hash=sha256:...` for each file; our own folder has none and is left out.

    Raises:
        ValueError: for a package that does not come as one file with a hash.
    """
    found = []
    for entry in report["install"]:
        source, about = entry["download_info"], entry["metadata"]
        if "dir_info" in source:
            continue
        digest = source.get("archive_info", {}).get("hashes", {}).get("sha256")
        if digest is None:
            raise ValueError(f"{about['name']} comes without a sha256: {source.get('url')}")
        name = re.sub(r"[-_.]+", "-", about["name"]).lower()
        found.append(f"{name}=={about['version']} --hash=sha256:{digest}")
    return sorted(found)


def main(path: str) -> None:
    print(HEAD + "\n".join(lines(json.loads(Path(path).read_text()))))


if __name__ == "__main__":
    main(*sys.argv[1:])
