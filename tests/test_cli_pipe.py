"""A command whose reader goes, as ``head`` does, ends without a word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from observer.cli import main
from processes import HUNG

ROOT = Path(__file__).parent.parent
LINE = "from observer.cli import main; raise SystemExit(main())"


@pytest.mark.parametrize("words", [["--help"], ["ablate", "plan", "g.yaml"]])
def test_a_reader_that_goes_is_no_error(words, tmp_path):
    (tmp_path / "g.yaml").write_text("base: quickstart\nseeds: [0, 1, 2]\nvariants: {a: {}}\n")
    words = [*words, "--commands"] if "g.yaml" in words else words
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", LINE, *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=writing,
        stderr=subprocess.PIPE,
        timeout=HUNG,
        check=False,
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


def test_another_pipe_that_breaks_is_an_error(monkeypatch):
    def breaks(words):
        raise BrokenPipeError("the judge has hung up")

    monkeypatch.setattr("observer.cli.app.list_command", breaks)
    with pytest.raises(BrokenPipeError, match="judge"):
        main(["list"])
