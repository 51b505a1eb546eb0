"""The option ``curriculum``: a callback of one's own, by name, import path or configuration."""

import re
import sys

import pytest
from jsonargparse import Namespace

from documented import parsed
from observer import strategies
from observer.callbacks import RunReport
from observer.cli import main
from observer.cli.callback_options import add_callback, refuse_twice
from observer.cli.parser import Parser
from observer.cli.run import FORCED
from observer.curriculum import CurriculumCallback, NeuraLadder
from observer.types import RefusedError

QUICK = ("fit", "--config", "configs/quickstart.yaml")
MINE = '''
from observer.curriculum import CurriculumCallback, NeuraLadder, Schedule


class Spy(CurriculumCallback):
    """Counts what it is shown."""

    def __init__(self, every: int = 1, **options):
        super().__init__(**options)
        self.every = every


class Decides(CurriculumCallback):
    """Goes up the ladder, whatever it is told."""

    def __init__(self, share: float = 0.5):
        super().__init__(NeuraLadder(own=share))
'''


class Apart(CurriculumCallback):
    """Known by its import path."""


class OwnReport(RunReport):
    """Known by its import path."""


@pytest.fixture(scope="module", autouse=True)
def plugin(tmp_path_factory):
    """A file with two callbacks, loaded as a plugin."""
    file = tmp_path_factory.mktemp("plugin") / "own_callbacks.py"
    file.write_text(MINE)
    strategies.load_plugin(file)
    yield file
    del sys.modules["observer_plugin_own_callbacks"]


@pytest.fixture(scope="module")
def parser(plugin):
    """A parser with this option alone."""
    parser = Parser()
    parser.add_argument("-c", "--config", action="config")
    add_callback(parser, CurriculumCallback, "curriculum")
    return parser


@pytest.fixture
def given(parser, tmp_path, monkeypatch):
    """Parses words and configurations, which have lines: class, schedule, its order, and ``every``."""
    monkeypatch.chdir(tmp_path)

    def read(*words):
        for number, word in enumerate(words):
            if "\n" in word:
                (tmp_path / f"{number}.yaml").write_text(word)
        words = [f"--config={number}.yaml" if "\n" in word else word for number, word in enumerate(words)]
        config = parser.parse_args(words)
        (tmp_path / "config.yaml").write_text(parser.dump(config, skip_none=False))
        again = parser.parse_args(["--config", "config.yaml"])
        assert parser.dump(again) == parser.dump(config), "a saved configuration is read again"
        callback = parser.instantiate(config).curriculum
        schedule = callback.schedule
        return type(callback).__name__, type(schedule).__name__, schedule.by, vars(callback).get("every")

    return read


OLD = "curriculum:\n  schedule: {class_path: Sorted}\n  heat_map_every_n_steps: 7\n"
CLASS = "curriculum: {class_path: Spy, init_args: {every: 5}}\n"
BUILT_IN = ("CurriculumCallback", "Sorted")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([], ("CurriculumCallback", "Random", "both", None)),
        ([OLD], (*BUILT_IN, "both", None)),
        ([OLD, "--curriculum.schedule.by=level"], (*BUILT_IN, "level", None)),
        (
            ["--curriculum.schedule", "Sorted", "--curriculum.schedule.by", "level"],
            (*BUILT_IN, "level", None),
        ),
        (["--curriculum", '{"schedule": "Sorted"}'], (*BUILT_IN, "both", None)),
        (["--curriculum", "Spy"], ("Spy", "Random", "both", 1)),
        (["--curriculum=Spy", "--curriculum.schedule=Sorted"], ("Spy", "Sorted", "both", 1)),
        (["--curriculum.schedule=Sorted", "--curriculum=Spy"], ("Spy", "Sorted", "both", 1)),
        (["--curriculum=Spy", "--curriculum.init_args.every=3"], ("Spy", "Random", "both", 3)),
        (["--curriculum.class_path=Spy", "--curriculum.every=3"], ("Spy", "Random", "both", 3)),
        (["--curriculum", f"{__name__}.Apart"], ("Apart", "Random", "both", None)),
        (["--curriculum", '{"class_path": "Spy", "init_args": {"every": 2}}'], ("Spy", "Random", "both", 2)),
        (["curriculum: Spy\n", "--curriculum.every=2"], ("Spy", "Random", "both", 2)),
        ([CLASS], ("Spy", "Random", "both", 5)),
        ([CLASS, OLD], ("Spy", "Sorted", "both", 5)),
        ([OLD, CLASS], ("Spy", "Sorted", "both", 5)),
        ([OLD, CLASS, "curriculum: {every: 9}\n"], ("Spy", "Sorted", "both", 9)),
        ([CLASS, OLD, "--curriculum.schedule=NeuraLadder"], ("Spy", "NeuraLadder", "both", 5)),
        ([CLASS, OLD, "--curriculum=CurriculumCallback"], (*BUILT_IN, "both", None)),
        ([OLD, "--curriculum=Decides"], ("Decides", "NeuraLadder", "both", None)),
    ],
    ids=str,
)
def test_a_class_and_its_options_are_taken_in_any_order_from_files_and_words(words, found, given):
    words = [word.replace("level", "difficulty") for word in words]
    assert given(*words) == tuple("difficulty" if part == "level" else part for part in found)


def test_a_file_may_hold_the_callback_alone(given, tmp_path):
    (tmp_path / "callback.yaml").write_text("class_path: Spy\ninit_args: {every: 4}\n")
    assert given("--curriculum", "callback.yaml") == ("Spy", "Random", "both", 4)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--curriculum", "Sp"],
            ["Near Sp: Spy", "Known by name for curriculum:", "CurriculumCallback", "Decides"],
        ),
        (["--curriculum", "Spyy"], ["Near Spyy: Spy"]),
        (["--curriculum", f"{__name__}.Aparrt"], ["no attribute 'Aparrt'", "Near Aparrt: Apart"]),
        (
            ["--curriculum", "not_there.Spy"],
            ["No module named 'not_there'", "write --plugins '[mine.py]'"],
        ),
        (
            ["--curriculum", "observer.callbacks.Completions"],
            ["not correspond to a subclass of CurriculumCallback"],
        ),
        (["--curriculum.sched", "Sorted"], ["'sched' is not accepted", "Near sched: schedule"]),
        (["--curriculum", "Spy", "--curriculum.evry", "3"], ["'evry' is not accepted", "Near evry: every"]),
        (["--curriculum", "Spy", "--curriculum.every", "often"], ['key "curriculum.every"', "often"]),
        (["--curriculum", "Decides", "--curriculum.schedule", "Sorted"], ["'schedule' is not accepted"]),
        (
            ["--curriculum.schedule", "Sorrted"],
            [
                'key "curriculum.schedule"',
                "Near Sorrted: Sorted",
                "Known by name for curriculum.schedule: Adap",
            ],
        ),
    ],
    ids=str,
)
def test_what_is_shortened_or_unknown_is_refused_with_what_is_near(words, told, parser):
    with pytest.raises(RefusedError) as refused:
        parser.parse_args(words)
    assert [line for line in told if line not in str(refused.value)] == []
    assert str(refused.value).count("observer fit --help prints every option") == 1


def test_the_whole_command_line_takes_a_class_of_a_plugin_and_says_what_it_leaves_out(
    plugin, tmp_path, monkeypatch, capsys
):
    """The quickstart names a schedule, which one of the classes does not take."""
    (tmp_path / "own.yaml").write_text(f"plugins: ['{plugin}']\n{CLASS}completions: {{every_n_steps: 3}}\n")
    words = [*QUICK, "--config", str(tmp_path / "own.yaml")]
    config = parsed([*words, "--completions.groups_per_step", "null"], monkeypatch)
    assert config.curriculum.class_path == "observer_plugin_own_callbacks.Spy"
    assert config.curriculum.init_args.every == 5
    assert (config.completions.init_args.every_n_steps, config.completions.init_args.groups_per_step) == (
        3,
        None,
    )
    assert "left out" not in capsys.readouterr().err
    config = parsed([*words, "--curriculum", "Decides"], monkeypatch)
    assert config.curriculum.init_args.as_dict() == {"share": 0.5}
    path = "observer_plugin_own_callbacks.Decides"
    assert [line for line in capsys.readouterr().err.splitlines() if line.startswith("observer: ")] == [
        f"observer: curriculum.schedule is left out: {path} has no such option",
        f"observer: curriculum.every is left out: {path} has no such option",
    ]


@pytest.mark.parametrize(
    ("path", "base", "option"),
    [
        (f"{__name__}.Apart", "CurriculumCallback", "curriculum"),
        (f"{__name__}.OwnReport", "RunReport", "report"),
        ("observer.callbacks.Completions", "Completions", "completions"),
    ],
)
def test_a_second_callback_of_a_kind_is_refused_with_the_option_that_takes_it(path, base, option):
    listed = [Namespace(class_path="lightning.pytorch.callbacks.Timer"), Namespace(class_path=path)]
    told = f"trainer.callbacks has {path}, and every run has one {base}; write --{option} {path}, in YAML"
    for callbacks in (listed, listed[1]):
        with pytest.raises(RefusedError, match=re.escape(told)):
            refuse_twice(callbacks, FORCED)
    refuse_twice(listed[:1], FORCED)
    refuse_twice(None, FORCED)
    parser = Parser()
    add_callback(parser, FORCED[option], option)
    assert parser.parse_args([f"--{option}", path])[option].class_path == path, "as it is told"


def test_a_callback_for_the_trainer_that_is_a_curriculum_claims_no_run_directory(tmp_path, capsys):
    words = [*QUICK, "--run_dir", str(tmp_path / "run"), f"--trainer.callbacks+={__name__}.Apart"]
    assert main(words) == 2
    assert f"write --curriculum {__name__}.Apart" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_preview_shows_the_schedule_that_the_class_chooses(tmp_path, capsys):
    (tmp_path / "own.yaml").write_text("curriculum: {class_path: Decides, init_args: {share: 0.25}}\n")
    (tmp_path / "spy.yaml").write_text(f"{CLASS}model: {{nonesuch: 1}}\n")

    def shown(*words):
        preview = ["curriculum", "preview", *QUICK[1:], "--data.train.rows", "512", "--steps", "2"]
        assert main([*preview, "--output", str(tmp_path / "p.png"), *words]) == 0
        return " ".join(capsys.readouterr().out.split())

    decided = shown("--config", str(tmp_path / "own.yaml"))
    assert "NeuraLadder(" in decided
    assert "own=0.25" in decided
    assert "Sorted(" in shown("--config", str(tmp_path / "spy.yaml"), "--curriculum.schedule", "Sorted")
    assert "Random(" in shown("--curriculum", "Decides", "--curriculum=CurriculumCallback")
    (tmp_path / "saved.yaml").write_text("curriculum: {class_path: observer.curriculum.CurriculumCallback}\n")
    assert "Random(" in shown("--curriculum", "Decides", "--config", str(tmp_path / "saved.yaml"))


def test_callbacks_are_listed_with_their_options_and_those_above(capsys):
    assert main(["list", "curriculum"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "Spy every: int = 1 Counts what it is shown." in said
    spy = strategies.members("curriculum")["Spy"]
    assert strategies.parameters(spy) == {
        "every": "int = 1",
        "schedule": "Schedule | None = None",
        "heat_map_every_n_steps": "int | None = 100",
    }
    assert strategies.members("curriculum")["CurriculumCallback"] is CurriculumCallback
    assert strategies.taken_by(CurriculumCallback) == list(strategies.members("curriculum"))
    assert isinstance(strategies.members("curriculum")["Decides"]().schedule, NeuraLadder)
