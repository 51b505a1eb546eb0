"""What is asked of an exported folder: which weights have changed, and does transformers answer with it?"""

import torch


def tensors_of(folder):
    """Yield (name, file) of all tensors of a model's folder."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as opened:
            yield from ((name, file) for name in opened.keys())  # noqa: SIM118


def compared(before, after):
    """Return how many weights of two folders differ, and how many are equal to the bit.

    An adapted layer must differ; the head may be in the files of one alone.
    """
    from safetensors import safe_open

    first, second = dict(tensors_of(before)), dict(tensors_of(after))
    assert set(first) <= set(second), sorted(set(first) - set(second))[:3]
    changed = kept = 0
    for name, file in first.items():
        with safe_open(file, "pt") as old, safe_open(second[name], "pt") as new:
            if torch.equal(old.get_tensor(name), new.get_tensor(name)):
                kept += 1
            else:
                assert name.startswith("model.layers."), f"{name} has changed"
                changed += 1
    return changed, kept


def answered(folder, device):
    """Return what transformers answers with the exported files to a picture, without observer."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    from observer.data import Tiles

    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.bfloat16).to(device)
    problem = Tiles(rows=8, split="test").read()[0]
    content = [{"type": "image"}, {"type": "text", "text": problem.turns[0].text.replace("<image>", "")}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(text=[text], images=[problem.pictures[0].load()], return_tensors="pt").to(device)
    drawn = model.generate(**inputs, max_new_tokens=8, min_new_tokens=8, do_sample=False)
    return processor.tokenizer.decode(drawn[0, inputs["input_ids"].shape[1] :])
