"""Addresses of stores: what of them may be shown, and whether one is a file."""

import re
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname


def shown(uri: str, whole: bool) -> str:
    """An address less people and query; not `whole`, less the folders too."""
    try:
        told = urlsplit(uri)
    except ValueError:
        return "an address that cannot be read"
    if told.scheme in ("", "file") or told.scheme.startswith("sqlite"):
        place = told.path if whole else Path(told.path).name
        return f"{told.scheme}:///{place.removeprefix('/')}" if told.scheme else place
    _, slashes, rest = uri.partition("://")
    people, _, there = rest.rpartition("@")  # a password may hold a slash or an @
    if not slashes or re.search("[?#]", people):  # who can say where the secret ends
        return f"{told.scheme}://***"
    there = re.split("[?#]", there)[0].rstrip("/")
    return f"{told.scheme}://{there if whole else there.partition('/')[0]}"


def on_disk(uri: str) -> Path | None:
    """The folder of a run's artifacts, if it is on this disk: a path or a file's address, as MLflow reads them."""
    if not uri.startswith(("/", "file:")):
        return None
    return Path(url2pathname(urlsplit(uri).path if uri.startswith("file:") else uri))


def sqlite_file(uri: str) -> Path | None:
    """The file of a store that is one."""
    file = re.fullmatch(r"sqlite:///(.+)", uri)
    return Path(file[1]) if file else None


def absolute(url: str) -> str:
    """The same place wherever another process stands."""
    file = sqlite_file(url)
    return f"sqlite:///{file.resolve()}" if file else url
