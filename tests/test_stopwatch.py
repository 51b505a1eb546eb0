import pytest

from observer.run.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is moved on."""

    class Clock:
        now = 100.0

        def move(self, seconds):
            self.now += seconds

    clock = Clock()
    monkeypatch.setattr("observer.run.stopwatch.time.perf_counter", lambda: clock.now)
    return clock


def test_seconds_are_added_up_by_stage_and_the_rest_is_other(clock):
    stage = Stopwatch()
    for seconds in (1, 2):
        with stage("generate"):
            clock.move(seconds)
        clock.move(4)
    with stage("update"):
        clock.move(8)
    assert stage.lap() == {"generate": 3, "update": 8, "other": 8, "step": 19}


def test_a_lap_starts_anew_where_the_last_one_ended(clock):
    stage = Stopwatch()
    with stage("generate"):
        clock.move(5)
    stage.lap()
    clock.move(3)
    with stage("score"):
        clock.move(1)
    assert stage.lap() == {"score": 1, "other": 3, "step": 4}


def test_restart_charges_what_went_before_to_no_step(clock):
    stage = Stopwatch()
    with stage("generate"):
        clock.move(5)
    clock.move(60)
    stage.restart()
    clock.move(2)
    assert stage.lap() == {"other": 2, "step": 2}


def test_a_stage_that_fails_is_charged_too(clock):
    stage = Stopwatch()

    def fail():
        with stage("update"):
            clock.move(7)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert stage.lap() == {"update": 7, "other": 0, "step": 7}
