"""A plugin file to start from: it works as it is written."""

import importlib
import keyword
import re
from pathlib import Path
from string import Template

from benchmarks.plugins import PluginError


def write(kind: str, name: str) -> Path:
    """Write the template of a kind (method, dataset or protocol) under a name that is free."""
    stem = name.strip().lower().replace("-", "_")
    class_name = "".join(part.title() for part in stem.split("_"))
    if not re.fullmatch(r"[a-z][a-z0-9_]*", stem) or keyword.iskeyword(stem) or keyword.iskeyword(class_name):
        raise PluginError(f"a {kind} cannot be called {name!r}; use letters, digits and -, starting with a letter")
    package = importlib.import_module(f"{kind}s")
    file = Path(package.__path__[0]) / f"{stem}.py"
    if file.exists():
        raise PluginError(f"{file} is there already; choose another name")
    template = Template(Path(__file__).with_name("templates").joinpath(f"{kind}.txt").read_text())
    if re.search(rf"\b{class_name}\b", template.template):
        raise PluginError(f"a {kind} called {name!r} would hide {class_name}, which its file uses; choose another name")
    file.write_text(template.substitute(title=stem.replace("_", " "), class_name=class_name))
    return file
