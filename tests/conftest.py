"""Two workers on two cores: one thread each, or torch's threads would fight over them."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # read when torch is imported, also in child processes
        os.environ.setdefault(name, "1")
