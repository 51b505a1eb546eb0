import importlib
import subprocess
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
from jsonargparse import ArgumentParser

from observer import strategies
from observer.curriculum import CurriculumCallback
from observer.objective import KL, Weighting
from observer.rewards import Reward
from observer.rollout import ScriptedEngine
from observer.types import RefusedError

ROOT = Path(__file__).parent.parent
HALF = '''
from dataclasses import dataclass

from toys import Toy


@dataclass(frozen=True)
class Half(Toy):
    """Every group weighs the same share.

    More is said here.
    """

    share: float = 0.5
    cap: float | None = None

    def weigh(self):
        return self.share
'''


@pytest.fixture
def toy(monkeypatch):
    """The base of a family of this test alone; plugins of other families would stay in the process."""

    class Toy(ABC):
        @abstractmethod
        def weigh(self): ...

    Toy.__module__, Toy.__qualname__ = "toys", "Toy"
    module = ModuleType("toys")
    module.Toy = Toy
    monkeypatch.setitem(sys.modules, "toys", module)
    monkeypatch.setitem(strategies.FAMILIES, "toy", "toys:Toy")
    yield Toy
    for name in [name for name in sys.modules if name.startswith("observer_plugin_")]:
        del sys.modules[name]


@pytest.fixture
def plugin(tmp_path, toy):
    """Writes a plugin file."""

    def write(text=HALF, name="half.py", folder="."):
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / name
        path.write_text(text)
        return path

    return write


def shipped(family):
    """The members of a family without those that other test files define."""
    found = strategies.members(family)
    return {name: found[name] for name in found if found[name].__module__.startswith("observer.")}


def test_every_family_has_members_that_are_concrete_children_of_its_base():
    for family in strategies.FAMILIES:
        base = strategies.base_class(family)
        assert len(shipped(family)) > 0
        assert list(strategies.members(family)) == sorted(strategies.members(family))
        for name, strategy in shipped(family).items():
            assert name == strategy.__name__
            assert issubclass(strategy, base)
            assert not getattr(strategy, "__abstractmethods__", None)


def test_every_member_is_offered_by_its_room_so_that_a_saved_configuration_outlives_its_file():
    for family in strategies.FAMILIES:
        path = strategies.FAMILIES[family].partition(":")[0]
        room = importlib.import_module(".".join(path.split(".")[:2]))
        for name, strategy in shipped(family).items():
            assert getattr(room, name) is strategy


WITHOUT_LIGHTNING = """
import sys, types, observer
room = types.ModuleType("observer.curriculum")  # whatever the room itself imports
room.__path__ = [observer.__path__[0] + "/curriculum"]
sys.modules |= {room.__name__: room, "lightning": None, "pytorch_lightning": None}
from observer import strategies
for name, cls in strategies.members("curriculum").items():
    print(name, strategies.parameters(cls), strategies.summary(cls))
"""


@pytest.mark.whole
def test_the_callback_is_listed_without_lightning_as_it_is_with_it():
    done = subprocess.run([sys.executable, "-c", WITHOUT_LIGHTNING], cwd=ROOT, capture_output=True, text=True)
    options, summary = strategies.parameters(CurriculumCallback), strategies.summary(CurriculumCallback)
    assert done.stdout == f"CurriculumCallback {options} {summary}\n", done.stderr
    assert list(shipped("curriculum").values()) == [CurriculumCallback], "and not its base"


def test_bases_and_private_classes_are_not_listed():
    assert shipped("learning_rate").keys() == {"Constant", "Cosine", "Linear"}  # not _Decay
    rows = {"Columns", "Handwriting", "Jsonl", "Ladder", "Message", "Tiles", "Together"}  # not JsonLines
    assert shipped("rows").keys() == rows


def test_an_unknown_family_is_a_key_error():
    with pytest.raises(KeyError, match="colour"):
        strategies.members("colour")


def test_every_strategy_has_a_summary_and_every_parameter_a_type():
    for family in strategies.FAMILIES:
        for strategy in shipped(family).values():
            assert strategies.summary(strategy).endswith(".")
            assert all(text and text[0] != "'" for text in strategies.parameters(strategy).values())


def test_parameters_are_printed_as_type_and_default():
    members = shipped("reward") | shipped("kl") | shipped("weighting")
    shared = {"normalise": "bool = False", "apply_to": "Literal['all', 'accuracy'] = 'all'"}
    assert strategies.parameters(members["Quadratic"]) == {"sigma": "float = 1.8"} | shared
    assert strategies.parameters(members["Bonus"])["max_tokens"] == "int | None = None"
    assert strategies.parameters(members["K1"])["apply_to"] == "Literal['loss', 'reward'] = 'reward'"
    assert strategies.parameters(members["Uniform"]) == shared
    assert strategies.parameters(ScriptedEngine) == {"texts": "list[str]"}


def test_parameters_that_are_inherited_or_without_type_or_default_are_printed_too():
    class Untyped:
        def __init__(self, threads=4, *, folder: str):
            pass

    @dataclass(frozen=True)
    class Needed:
        path: str

    class Heir(Untyped):
        pass

    class Bare:
        pass

    assert strategies.parameters(Untyped) == {"threads": "Any = 4", "folder": "str"}
    assert strategies.parameters(Heir) == strategies.parameters(Untyped)
    assert strategies.parameters(Bare) == {}
    assert strategies.parameters(Needed) == {"path": "str"}


@pytest.mark.parametrize(
    ("hint", "names"),
    [
        (
            Weighting,
            {
                "AnswerDiversity",
                "AnswerEntropy",
                "Disco",
                "Logistic",
                "Permuted",
                "Quadratic",
                "RewardRange",
                "StageWave",
                "Uniform",
            },
        ),
        (KL | None, {"K1", "K2", "K3"}),
        (dict[str, Reward], set(shipped("reward"))),
        (int | None, set()),
        (None, set()),
    ],
)
def test_the_strategies_that_a_hint_takes_are_named(hint, names):
    ours = {name for family in strategies.FAMILIES for name in shipped(family)}
    assert ours & set(strategies.taken_by(hint)) == names
    assert strategies.taken_by(hint) == sorted(strategies.taken_by(hint))


def test_a_plugins_strategy_is_known_by_name_and_configured_by_it(plugin, toy):
    assert strategies.members("toy") == {}
    strategies.load_plugin(plugin())
    half = strategies.members("toy")["Half"]
    assert strategies.parameters(half) == {"share": "float = 0.5", "cap": "float | None = None"}
    assert strategies.summary(half) == "Every group weighs the same share."
    assert strategies.taken_by(toy | None) == ["Half"]
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--toy", type=toy)
    config = parser.parse_args(["--toy", "Half", "--toy.share", "0.25"])
    assert parser.instantiate(config).toy == half(share=0.25)
    again = parser.parse_string(parser.dump(config))  # as a resumed run reads it
    assert parser.instantiate(again).toy == half(share=0.25)


def test_the_same_plugin_is_loaded_once_however_it_is_named(plugin, monkeypatch):
    path = plugin()
    strategies.load_plugin(path)
    first = strategies.members("toy")["Half"]
    monkeypatch.chdir(path.parent)
    strategies.load_plugin("half.py")
    strategies.load_plugin(f"../{path.parent.name}/half.py")
    assert strategies.members("toy")["Half"] is first


def test_two_plugins_of_the_same_name_are_refused_with_both_paths(plugin):
    first, second = plugin(), plugin(folder="other")
    strategies.load_plugin(first)
    with pytest.raises(RefusedError, match="have the same name; rename one of them") as caught:
        strategies.load_plugin(second)
    assert str(first) in str(caught.value)
    assert str(second) in str(caught.value)


def test_a_plugin_that_is_no_python_file_is_refused(plugin, tmp_path):
    for path in (tmp_path / "missing.py", plugin(name="half.txt"), tmp_path):
        with pytest.raises(RefusedError, match=r"is no Python file; name an existing \.py file") as caught:
            strategies.load_plugin(path)
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["my-half.py", "my.half.py", "half v2.py"])
def test_a_plugin_whose_name_no_import_path_can_hold_is_refused(plugin, name):
    with pytest.raises(RefusedError, match="rename it, with letters, digits and _ only"):
        strategies.load_plugin(plugin(name=name))


def test_a_plugin_that_fails_is_not_taken_for_loaded_the_next_time(plugin):
    path = plugin(f"{HALF}\nraise RuntimeError('half done')\n")
    for _ in range(2):
        with pytest.raises(RefusedError, match=r"half.py cannot be imported.*half done"):
            strategies.load_plugin(path)
    assert "observer_plugin_half" not in sys.modules
