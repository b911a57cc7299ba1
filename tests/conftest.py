"""Two workers on two cores: one thread each, or torch's threads would fight over them."""

import os

if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):  # read when torch is imported, also in child processes
        os.environ.setdefault(name, "1")

import pytest


@pytest.fixture
def shown(request, monkeypatch):
    """Texts of the figures and tables that a chapter would show; the test's module names the chapter's figures ``drawn``."""
    from studiolike.chapters import figures, notebook

    texts = []
    monkeypatch.setattr(figures, "_display", lambda piece: texts.append(piece.alt))
    for module in (request.module.drawn, notebook):
        monkeypatch.setattr(module, "table_of", lambda head, rows, note="": texts.append([list(head), *map(list, rows)]))
    return texts
