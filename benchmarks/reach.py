"""A store that may be away for a while: what is asked of it then fails at once, and says so."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from typing import Any
from urllib.parse import urlsplit

from benchmarks.address import on_disk, shown, sqlite_file
from benchmarks.files import explained
from datasets.clips import UserError

AGAIN = 15.0  # seconds until a server that was away is asked again
ANSWER = 5.0  # seconds until it must answer then
LATER = "what is finished meanwhile is kept here, and sent by the next run or by: python -m benchmarks sync"
PORTS = {"http": 80, "https": 443}


class TrackingError(UserError):
    """Results cannot be kept or read."""


class AwayError(TrackingError):
    """The server of results does not answer now."""


@dataclass
class Reach:
    """Whether the store at an address can be reached."""

    uri: str
    away: float = -inf  # when it was last found to be

    @property
    def remote(self) -> bool:
        """Whether it is a server; a file is always there."""
        return not sqlite_file(self.uri) and on_disk(self.uri) is None

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Of a server that is away, an error that says so; at once, where that was found a moment ago."""
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        if self.remote and time.monotonic() - self.away < AGAIN:
            raise self._error()
        try:
            yield
        except (MlflowException, SQLAlchemyError, OSError) as error:
            self.still()
            told = explained(error, shown(self.uri, True))
            if told is error:
                raise
            raise told from None

    def still(self) -> None:
        """Once something went wrong: an error, if it is because the server is away."""
        if self.remote and not self._answers():
            self.away = time.monotonic()
            raise self._error() from None

    def anew(self) -> None:
        """The next request is sent, however short a time ago it was away."""
        self.away = -inf

    def _error(self) -> AwayError:
        return AwayError(f"{shown(self.uri, True)} does not answer; {LATER}")

    def _answers(self) -> bool:
        """Whether anybody listens there and knows of experiments."""
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        place = urlsplit(self.uri)
        try:
            if place.scheme in PORTS and place.hostname:
                socket.create_connection((place.hostname, place.port or PORTS[place.scheme]), ANSWER).close()
            MlflowClient(self.uri).search_experiments(max_results=1)
        except (MlflowException, SQLAlchemyError, OSError):
            return False
        return True


class Client:
    """MLflow's, whatever is asked of it; what goes wrong is told as `Reach` tells it."""

    def __init__(self, real: Any, reach: Reach) -> None:
        self._real, self._reach = real, reach

    def __getattr__(self, name: str) -> Any:
        asked = getattr(self._real, name)

        def ask(*facts: Any, **more: Any) -> Any:
            with self._reach.asking():
                return asked(*facts, **more)

        return ask
