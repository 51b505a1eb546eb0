"""The rows of a file as another trainer's own loader reads them: ``python other_loaders.py TRAINER FILE``.

In a process of its own: two of the trainers have one package's name, and all change what they import.
Prints a JSON list of ``[turns, answer, digests of pictures]``, the turns with our marks.
"""

import json
import sys
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

CHECKPOINT = str(Path(__file__).parents[2] / "observer/data/tiles/checkpoint")


def hidden(trainer):
    """Whether the package of a trainer's name is another trainer's: ``verl`` is verl or EasyR1."""
    if trainer not in ("verl", "easy_r1"):
        return False
    early = Path(find_spec("verl").origin).parent / "utils" / "dataset.py"
    return early.is_file() != (trainer == "easy_r1")


def digest(image):
    image = image.convert("RGB")
    return blake2b(repr(image.size).encode() + image.tobytes(), digest_size=8).hexdigest()


def shown(turns):
    """Turns of items or texts as (role, text), and their pictures."""
    texts, pictures = [], []
    for turn in turns:
        items = turn["content"]
        items = [{"type": "text", "text": items}] if isinstance(items, str) else items
        texts.append([turn["role"], "".join(i["text"] if i["type"] == "text" else "<image>" for i in items)])
        pictures += [item.get("image") for item in items if item["type"] == "image"]
    return texts, pictures


def processor():
    from transformers import AutoProcessor

    return AutoProcessor.from_pretrained(CHECKPOINT)


def trl(path):
    from datasets import load_dataset
    from trl.data_utils import is_conversational, maybe_apply_chat_template, prepare_multimodal_messages

    maker = processor()
    for row in load_dataset("parquet", data_files=path, split="train"):
        assert is_conversational(row)
        turns = prepare_multimodal_messages(row["prompt"], row["images"])
        texts, pictures = shown(turns)
        rendered = maybe_apply_chat_template({"prompt": turns}, maker)["prompt"]
        assert rendered.count(maker.image_token) == len(pictures)
        ids = maker.apply_chat_template([turns], add_generation_prompt=True, tokenize=True, return_dict=True)
        assert len(ids.get("image_grid_thw", ())) == len(pictures)
        yield texts, row["solution"], [digest(picture) for picture in pictures]


def verl(path):
    from omegaconf import OmegaConf
    from verl.utils.dataset.rl_dataset import RLHFDataset, collate_fn

    maker = processor()
    options = {"max_prompt_length": 512, "filter_overlong_prompts_workers": 1}
    rows = RLHFDataset(path, maker.tokenizer, OmegaConf.create(options), maker)
    assert len(collate_fn([rows[0], rows[1]])["raw_prompt"]) == 2
    for number in range(len(rows)):
        row = rows[number]
        texts, pictures = shown(row["raw_prompt"])
        opened = RLHFDataset._process_multi_modal_info(row["raw_prompt"], 14, None)[0]
        assert len(opened or ()) == len(pictures)
        assert row["index"] == number
        yield texts, row["reward_model"]["ground_truth"], [digest(picture) for picture in pictures]


def easy_r1(path):
    from verl.utils.dataset import RLHFDataset, collate_fn

    maker = processor()
    options = {"prompt_key": "problem", "max_prompt_length": 512, "filter_overlong_prompts_workers": 1}
    rows = RLHFDataset(path, maker.tokenizer, maker, **options)
    assert collate_fn([rows[0], rows[1]])["input_ids"].shape == (2, 512)
    for number in range(len(rows)):
        texts = shown(rows._build_messages(rows.dataset[number]))[0]
        row = rows[number]
        yield texts, row["ground_truth"], [digest(image) for image in row["multi_modal_data"]["images"]]


def ms_swift(path):
    from swift.dataset import load_dataset
    from swift.template.vision_utils import load_image

    rows, _ = load_dataset(path, remove_unused_columns=False, strict=True, load_from_cache_file=False)
    for row in rows:
        held = [load_image(image["bytes"] or image["path"]) for image in row["images"]]
        yield shown(row["messages"])[0], row["solution"], [digest(image) for image in held]


if __name__ == "__main__":
    trainer, file, answer = sys.argv[1:]
    Path(answer).write_text(json.dumps(list(globals()[trainer](file))))
    try:
        print(trainer, version({"ms_swift": "ms-swift"}.get(trainer, trainer)))
    except PackageNotFoundError:
        print(trainer, "of a working copy")
