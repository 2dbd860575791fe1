"""Ask whether a locked package has a known vulnerability; used by `make audit`.

pip-audit runs in an environment of its own, since its packages are none of ours.
"""

import json
import subprocess
import sys
from typing import Any


def main(auditor: str, lock: str) -> str | None:
    """None where nothing is known; otherwise what is, or why nobody could say."""
    command = [auditor, "--require-hashes", "--disable-pip", "--no-deps", "--progress-spinner=off"]
    done = subprocess.run(
        [*command, "--format=json", "-r", lock], capture_output=True, text=True, timeout=600
    )
    try:
        packages = json.loads(done.stdout)["dependencies"]
    except (ValueError, KeyError):
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:200]
        return (
            f"error: nothing was audited, for the service that knows vulnerabilities did not "
            f"answer: {reason}\nrun `make audit` where it can be reached"
        )
    return conclude(packages)


def conclude(packages: list[dict[str, Any]]) -> str | None:
    """One line for each vulnerability, or None."""
    skipped = [f"{p['name']}: {p['skip_reason']}" for p in packages if "skip_reason" in p]
    for line in skipped:
        print(f"not audited: {line}")
    found = [
        f"{package['name']} {package['version']}: {fault['id']}, "
        f"fixed in {', '.join(fault['fix_versions']) or 'no version yet'}"
        for package in packages
        for fault in package.get("vulns", [])
    ]
    print(f"{len(packages) - len(skipped)} packages audited, {len(found)} known vulnerabilities")
    return "\n".join(["error: update these, then `make lock`", *found]) if found else None


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
