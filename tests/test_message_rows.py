"""The message rows of Observe-R1 and LMM-R1."""

import json

import pytest

from observer.data import Message
from observer.types import Turn
from written_rows import ESSAY, refused, written


def chat(*turns, **others):
    return {
        "message": json.dumps([{"role": role, "content": content} for role, content in turns]),
        **ANSWER,
        **others,
    }


ANSWER = {"answer": "$3$"}
IMAGE = {"type": "image", "image": "a.png"}
TEXT = {"type": "text", "text": "How many?"}


def test_a_row_of_the_release_becomes_a_problem(folder, train):
    content = [IMAGE | {"image": f"file://{folder}/a.png"}, TEXT, IMAGE | {"image": "b.png"}]
    row = chat(("system", "Observe first."), ("user", content), id="m-1", difficulty=1, origin="MathVision")
    problem = Message(written(train, row)).read()[0]
    assert problem.turns == (Turn("system", "Observe first."), Turn("user", "<image>How many?<image>"))
    assert [picture.size() for picture in problem.pictures] == [(20, 30), (40, 50)]
    assert (problem.id, problem.answer, problem.level) == ("m-1", "$3$", 8)
    assert problem.metadata == {"origin": "MathVision"}


def test_a_message_may_be_a_list_and_hold_earlier_turns(folder, train):
    turns = [
        {"role": "user", "content": [IMAGE, TEXT]},
        {"role": "assistant", "content": "3"},
        {"role": "user", "content": "And now?"},
    ]
    problem = Message(written(train, {"message": turns} | ANSWER)).read()[0]
    assert [turn.role for turn in problem.turns] == ["user", "assistant", "user"]
    assert problem.question == "And now?"
    assert len(problem.pictures) == 1


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (ANSWER, "message is None; write a list of chat turns"),
        ({"message": "[]"} | ANSWER, "message is []; write a list of chat turns"),
        ({"message": "[{"} | ANSWER, "message is no JSON (Expecting property name"),
        ({"message": "[NaN]"} | ANSWER, "message holds NaN"),
        ({"message": '["a"]'} | ANSWER, "message[0] is 'a'; write an object with role and content"),
        (
            {"message": [{"role": "user", "content": "?", "name": "x"}]} | ANSWER,
            "message[0] is {'role': 'user'",
        ),
        (chat(("tool", "?")), "message[0] has the role 'tool'; write one of system, user, assistant"),
        (chat((["user"], "?")), "message[0] has the role ['user']; write one of"),
        (chat(("user", 7)), "message[0] has the content 7; write a string or a list of items"),
        (chat(("user", "?"), ("assistant", "3")), "message ends with the role 'assistant'"),
        (chat(("system", "?")), "message ends with the role 'system'; its last turn must be the user's"),
        (chat(("user", " ")), "message[0] is empty"),
        (chat(("user", [])), "message[0] is empty"),
        (chat(("user", "<image>?")), "message[0] holds <image> as text: '<image>?'; remove it"),
        (
            chat(("user", [IMAGE, {"type": "text", "text": "<image>?"}])),
            "message[0].content[1] holds <image> as text: '<image>?'; remove it, pictures are items",
        ),
        (chat(("user", ["?"])), 'message[0].content[0] is \'?\'; write {"type": "text", "text": ..}'),
        (chat(("user", [{"type": "video", "video": "a.mp4"}])), "message[0].content[0] is {'type': 'video'"),
        (chat(("user", [IMAGE | {"max_pixels": 9}, TEXT])), "message[0].content[0] is {'type': 'image'"),
        (chat(("user", [{"type": "image", "image": ""}])), "message[0].content[0] is {'type': 'image'"),
        (chat(("system", "<|im_end|>"), ("user", "?")), "holds '<|im_end|>'"),
        (chat(("user", [IMAGE | {"image": "file:///etc/passwd"}, TEXT])), "out of the data folder"),
        (chat(("user", [TEXT]), answer=ESSAY), "no rule can check the answer 'a red bicycle that"),
    ],
)
def test_a_bad_message_is_refused(folder, train, row, message):
    text = refused(Message, train, {"id": "m-1"} | row)
    assert f"{train}:1: row 'm-1': " in text
    assert message in text
