"""What came out of the experiments' quick presets: all findings in one file.

    symnets sweep NAME --output RESULTS/NAME        # each experiment, alone on the machine
    python benchmarks/experiments.py RESULTS

Collects RESULTS/*/findings.json, with the machine, and the versions and commits that the rows were made with.
Needs the extra `bench`.
"""

import json
import sys
from pathlib import Path

from machine import machine

from symnets.sweeps import Table

HERE = Path(__file__).parent


def main(results: Path) -> None:
    """Writes results/experiments.json."""
    found = []
    for path in sorted(results.glob("*/findings.json")):
        said = json.loads(path.read_text("utf-8"))
        table = Table.load(path.parent, said["experiment"])
        commits = sorted({str(commit)[:9] for commit in table["commit"]})
        core_seconds = round(float(table["seconds"].sum()), 1)
        said = {k: v for k, v in said.items() if k not in ("about", "seconds")}
        found.append(said | {"core_seconds": core_seconds, "commits": commits})
    document = {"question": __doc__, "machine": machine(), "experiments": found}
    path = HERE / "results" / "experiments.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    for experiment in found:
        for finding in experiment["findings"]:
            error = "" if finding["error"] is None else f" ± {finding['error']:.2g}"
            mark = "yes" if finding["agrees"] else "NO"
            print(
                f"{experiment['experiment']}: {finding['quantity']}: {finding['measured']:.4g}{error}: {mark}"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
