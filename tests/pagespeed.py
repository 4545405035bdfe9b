"""By hand, as timings belong on a quiet machine: is the page of many rows made in time, small, and quick to sort?

`python -m tests.pagespeed [ROWS] [FOLDER]` makes a store of so many finished rows in SQLite, has `report` read it and
write the page, opens that in Chromium and clicks a column. Exit code 1 if a limit is broken.
"""

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from subprocess import run
from tempfile import TemporaryDirectory
from typing import Any

from tests.manyrows import many, write
from tests.test_page import CHROMIUM

ROWS = 2000
LIMITS = {"seconds": 30.0, "megabytes": 5.0, "first sort (ms)": 200.0}  # the last: from the click until it is painted
CLICK = r"""async () => {
  const tables = [...document.querySelectorAll('.board.results')];
  const rows = (one) => parseInt(one.closest('.part').querySelector('.all').textContent.replace(/\D/g, '') || 0);
  const long = tables.reduce((a, b) => rows(b) > rows(a) ? b : a);
  const painted = () => new Promise(done => requestAnimationFrame(() => setTimeout(done)));
  long.scrollIntoView();
  await painted();
  const begun = performance.now();
  long.querySelectorAll('thead button')[3].click();
  await painted();
  return performance.now() - begun;
}"""


def measured(rows: int, folder: Path) -> Mapping[str, float]:
    """What LIMITS are about, and what else explains it."""
    store = folder / f"store-{rows}"
    uri = f"sqlite:///{store / 'results.db'}" if store.exists() else write(list(many(rows)), store)
    out = folder / "board"
    begun, before = time.perf_counter(), getrusage(RUSAGE_CHILDREN)
    run([sys.executable, "-m", "benchmarks", "report", "--tracking-uri", uri, "--out", str(out)], check=True)
    taken, after = time.perf_counter() - begun, getrusage(RUSAGE_CHILDREN)
    page = out / "index.html"
    return {
        "seconds": taken,
        "seconds of processor": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
        "others at work (load)": os.getloadavg()[0],
        "megabytes": page.stat().st_size / 1e6,
        **_browsed(page),
    }


def _browsed(page: Path) -> dict[str, float]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=["--no-sandbox"])
        opened: Any = browser.new_page()
        begun = time.perf_counter()
        opened.goto(page.as_uri())
        loaded = time.perf_counter() - begun
        first, second = (float(opened.evaluate(CLICK)) for _ in range(2))
        rows = opened.locator("#told").inner_text()
        browser.close()
    print(f"the page says: {rows}")  # noqa: T201
    return {"first sort (ms)": first, "second sort (ms)": second, "opened in (s)": loaded}


def main(rows: int, folder: Path) -> int:
    found = measured(rows, folder)
    broken = [name for name, most in LIMITS.items() if found[name] >= most]
    for name, value in found.items():
        limit = f"  (limit {LIMITS[name]:g}{', BROKEN' if name in broken else ''})" if name in LIMITS else ""
        print(f"{name:>24}: {value:8.2f}{limit}")  # noqa: T201
    if broken and found["others at work (load)"] > (os.cpu_count() or 1):
        print("others were at work: on a quiet machine it takes about the seconds of processor; try again then")  # noqa: T201
    return 1 if broken else 0


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else ROWS
    if len(sys.argv) > 2:
        sys.exit(main(count, Path(sys.argv[2]).resolve()))
    with TemporaryDirectory() as temporary:
        sys.exit(main(count, Path(temporary)))
