"""What the base class does for every schedule: one question, checks, and the former signatures refused."""

from dataclasses import dataclass

import pytest

from drawing import ladder_of
from observer.cli import main
from observer.curriculum import DrawRequest, Random, Schedule
from observer.strategies import load_plugin
from observer.types import RefusedError


@dataclass(frozen=True)
class Told(Schedule):
    """Remembers what it is asked."""

    def draw(self, request):
        return range(request.count)

    def remember(self, request, rows, pass_rates):
        return {"horizon": request.horizon, "rows": [*request.index.memory.get("rows", []), *rows]}

    def stage(self, request):
        return f"{request.step} of {request.horizon}"


def test_its_own_horizon_counts_wherever_it_is_asked():
    request = DrawRequest(ladder_of(), step=3, count=2, horizon=9, seed=0)
    for schedule, horizon in ((Told(), 9), (Told(horizon=5), 5)):
        assert schedule.batch(request) == [0, 1]
        assert schedule.stage_name(request) == f"3 of {horizon}"
        assert schedule.memory_after(request, [0, 1], [1.0, 0.0]) == {"horizon": horizon, "rows": [0, 1]}


def test_what_it_remembers_is_what_it_returned_last():
    request = DrawRequest(ladder_of().with_memory({"rows": [7]}), step=3, count=2, horizon=9, seed=0)
    assert Told().memory_after(request, [0, 1], [1.0, 0.0])["rows"] == [7, 0, 1]
    assert Random().memory_after(request, [0, 1], [1.0, 0.0]) == {"rows": [7]}
    assert Random().stage_name(request) is None


def test_the_former_signature_of_a_draw_is_refused_with_the_new_one_when_the_class_is_made():
    with pytest.raises(RefusedError) as refused:

        class InOrder(Schedule):
            def draw(self, ladder, step, count, horizon, seed):
                return list(range(count))

    assert "InOrder.draw(self, ladder, step, count, horizon, seed) cannot be called" in str(refused.value)
    assert "write it as draw(self, request): request.index, .step, .count, .horizon and .seed" in str(
        refused.value
    )


def test_a_former_signature_is_refused_also_where_it_has_defaults():
    """It could be called, and would take the request for the ladder."""
    with pytest.raises(RefusedError, match=r"InOrder\.draw.* write it as draw\(self, request\)"):

        class InOrder(Schedule):
            def draw(self, ladder, step=0, count=8, horizon=1, seed=0):
                return list(range(count))


def test_the_former_signatures_of_remember_and_stage_are_refused_with_the_new_ones():
    with pytest.raises(
        RefusedError,
        match=r"Mine\.remember\(self, memory, ladder, step, rows, pass_rates\) cannot be called; "
        r"write it as remember\(self, request, rows, pass_rates\): request\.index\.memory is what",
    ):

        class Mine(Random):
            def remember(self, memory, ladder, step, rows, pass_rates):
                return memory

    with pytest.raises(RefusedError, match=r"Named\.stage\(.*\) cannot be called; .* stage\(self, request\)"):

        class Named(Random):
            def stage(self, ladder, step, horizon):
                return "mine"


def test_a_draw_that_is_mixed_in_is_looked_at_too():
    class Old:
        def draw(self, ladder, step, count, horizon, seed):
            return list(range(count))

    with pytest.raises(RefusedError, match=r"Mixed\.draw\(.*write it as draw\(self, request\)"):

        class Mixed(Old, Schedule):
            pass


PLUGIN = """
from observer.curriculum import Schedule


class Former(Schedule):
    def {signature}:
        return {returned}
"""


@pytest.mark.parametrize(
    ("signature", "returned", "new"),
    [
        ("draw(self, ladder, step, count, horizon, seed)", "[]", "draw(self, request)"),
        (
            "remember(self, memory, ladder, step, rows, pass_rates)",
            "{}",
            "remember(self, request, rows, pass_rates)",
        ),
    ],
)
def test_a_plugin_with_a_former_signature_is_refused_with_the_new_one(
    tmp_path, capsys, signature, returned, new
):
    plugin = tmp_path / "former.py"
    plugin.write_text(PLUGIN.format(signature=signature, returned=returned))
    with pytest.raises(RefusedError, match="cannot be called"):
        load_plugin(plugin)
    words = [
        "--config",
        "configs/quickstart.yaml",
        "--plugins",
        f"[{plugin}]",
        "--curriculum.schedule",
        "Former",
    ]
    assert main(["curriculum", "preview", *words]) == 2
    assert (
        f"plugins: {plugin}: Former.{signature} cannot be called; write it as {new}"
        in capsys.readouterr().err
    )
