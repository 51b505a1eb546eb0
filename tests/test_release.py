"""What an export takes along: a card of what was measured and what was not, and its response format."""

import re

import pytest
import yaml

from observer.answering.format_record import FORMAT_FILE, format_text, recorded_format
from observer.release.card import Facts, card
from observer.release.figures import Figure, Figures
from observer.release.origin import Origin, origin
from observer.rewards import Free, Observe, Think
from observer.statistics import crossed
from observer.types import RefusedError

FIGURE = Figure(
    "accuracy, greedy",
    crossed([[1, 1, 0, 1]], bounds=(0, 1)),
    crossed([[1, 0, 0, 1]], bounds=(0, 1)),
    crossed([[0, 1, 0, 0]], bounds=(-1, 1)),
)


def facts(**fields):
    usual = {
        "origin": Origin("Qwen/Qwen2.5-VL-3B-Instruct", "other"),
        "model_type": "qwen2_5_vl",
        "policy": {"path": "Qwen/Qwen2.5-VL-3B-Instruct", "lora": {"rank": 8}},
        "recipe": {
            "seed": 3,
            "rewards": {"judge": "Judge(url='http://10.0.0.7/v1')"},
            "loss": "PPOClip()",
            "kl": "K3(coefficient=0.1)",
        },
        "record": {"rows": {"train": "f180"}, "start": {"weights": "bd02"}},
        "steps": 1200,
        "response_format": "Observe",
        "system_prompt": "Look.\n```\nThink.",
        "figures": Figures(4, 4, (FIGURE,)),
    }
    return Facts(**{**usual, **fields})


def front_matter(text):
    return yaml.safe_load(text.split("---\n")[1])


def test_the_front_matter_is_what_the_hub_reads():
    said = front_matter(card(facts()))
    assert said["base_model"] == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert (said["license"], said["library_name"]) == ("other", "transformers")
    assert said["pipeline_tag"] == "image-text-to-text"
    assert "base_model" not in front_matter(card(facts(origin=Origin("observer:tiles", "apache-2.0", True))))
    assert "license" not in front_matter(card(facts(origin=Origin("", ""))))


def test_a_card_names_base_data_recipe_and_figures_with_their_intervals():
    text = card(facts())
    for part in ("`bd02`", "`f180`", "1,200 rollouts; adapters of rank 8", "seed 3", "K3(coefficient=0.1)"):
        assert part in text
    [row] = re.findall(r"^\| accuracy, greedy .*", text, re.MULTILINE)
    low, high = FIGURE.after.interval()
    assert f"0.750 [{low:.3f}, {high:.3f}]" in row
    assert "+0.250 [" in row


def test_a_card_holds_no_address_that_an_option_names():
    assert "Judge" in card(facts())
    assert "10.0.0.7" not in card(facts())


def test_a_start_that_imitated_is_not_said_to_have_had_rewards():
    recipe = {key: value for key, value in facts().recipe.items() if key not in ("loss", "kl")}
    text = card(facts(recipe=recipe))
    assert "1,200 steps of imitating worked solutions" in text
    assert "Judge" not in text
    assert "reinforcement-learning" not in front_matter(text)["tags"]
    assert "reinforcement-learning" in front_matter(card(facts()))["tags"]


def test_a_prompt_that_holds_a_fence_stays_in_its_own():
    assert "````text\nLook.\n```\nThink.\n````" in card(facts())


def test_what_was_not_measured_is_said():
    text = card(facts(figures=None, why_none="the run measured no held-out rows"))
    assert "held-out accuracy of these weights: the run measured no held-out rows" in text
    assert "+0.250" not in text
    for word in ("benchmarks", "seeds", "grounding", "reasoning is sound"):
        assert word in text.partition("## Not measured")[2]


def test_figures_without_answers_before_training_have_no_gain():
    [line] = [
        line
        for line in card(facts(figures=Figures(4, 4, (Figure("x", FIGURE.after, None, None),)))).split("\n")
        if line.startswith("| x")
    ]
    assert line.split(" | ")[1] == "not kept"


@pytest.mark.parametrize(
    ("readme", "name", "licence"),
    [
        ("---\nbase_model: Qwen/Some-VL\nlicense: mit\n---\n# A", "Qwen/Some-VL", "mit"),
        ("---\nbase_model:\n- a/b\n---\n", "a/b", ""),
        ("---\nbase_model: ../../etc\nlicense: [x, y]\n---\n", "", ""),
        ("---\n: [\n---\n", "", ""),
        ("no front matter", "", ""),
        (None, "", ""),
    ],
)
def test_a_folder_is_named_by_the_base_of_its_own_card(tmp_path, readme, name, licence):
    if readme is not None:
        (tmp_path / "README.md").write_text(readme)
    assert origin(str(tmp_path)) == Origin(name, licence)


@pytest.mark.parametrize(
    "made", [Observe(lenient=("tag", "box")), Think(system_prompt="Ä"), Free(system_prompt="")]
)
def test_a_response_format_is_read_back_as_it_was(tmp_path, made):
    (tmp_path / FORMAT_FILE).write_text(format_text(made), encoding="utf-8")
    assert recorded_format(tmp_path) == made


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "cannot be read"),
        ("[]", "cannot be read"),
        ('{"format": "os.system", "options": {}}', "'os.system' is not known"),
        ('{"format": "Observe", "options": {"lenient": ["eval"]}}', "lenient"),
        ('{"format": "Observe", "options": {"other": 1}}', "no such options"),
        ('{"format": "Observe", "options": {"system_prompt": 7}}', "no such options"),
        ('{"format": "Observe", "options": []}', "no mapping"),
    ],
)
def test_a_record_that_is_damaged_or_names_what_is_not_known_is_refused(tmp_path, text, why):
    assert recorded_format(tmp_path) is None
    (tmp_path / FORMAT_FILE).write_text(text)
    with pytest.raises(RefusedError, match=re.escape(why)):
        recorded_format(tmp_path)
