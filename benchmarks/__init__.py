"""The engine and the command line: the only package that knows all others."""

import importlib.util
import sys
from pathlib import Path


def _refuse_foreign_datasets() -> None:
    """`datasets` is also the name of a well-known library: run only against the folder beside this one."""
    spec = importlib.util.find_spec("datasets")
    found = Path(spec.origin).parent if spec and spec.origin else None
    ours = Path(__file__).resolve().parent.with_name("datasets")
    if found and found.resolve() == ours:
        return
    message = (
        f"benchmarks needs its own package datasets at {ours}, but Python finds {found or 'none'}: "
        "run from the checkout, or use a virtual environment without the package of that name (make install)"
    )
    if sys.argv[:1] == ["-m"]:  # python -m benchmarks: a line for the user, no traceback
        sys.stderr.write(f"error: {message}\n")
        raise SystemExit(2)
    raise ImportError(message)


_refuse_foreign_datasets()
