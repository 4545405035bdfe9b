"""Tests. Pytest imports this before anything that it tests, so whatever a machine sets besides is put aside here."""

import os

SET_BESIDE = (
    "BENCH_CACHE", "BENCH_DATA", "BENCH_WEIGHTS", "CUBLAS_WORKSPACE_CONFIG", "FORCE_COLOR", "MLFLOW_", "NO_COLOR", "PG",
    "RAY_ADDRESS", "TTY_COMPATIBLE", "TTY_INTERACTIVE",
)  # fmt: skip  # beginnings of variables

if "PYTEST_VERSION" in os.environ and "PYTEST_CURRENT_TEST" not in os.environ:  # not what a test hands to its processes
    for name in [name for name in os.environ if name.startswith(SET_BESIDE)]:
        del os.environ[name]
    os.environ["NO_PROXY"] = os.environ["no_proxy"] = "127.0.0.1,localhost"
    os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] = "600"  # seconds; a server of this machine answers, or refuses at once
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(name, "1")  # threads of several workers wait for each other: the suite took twice as long
    if "BENCH_TEST_DEVICE" in os.environ:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = ":4096:8"  # of deterministic mode, before a GPU is first used
    else:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a GPU would change the presets that are tried
