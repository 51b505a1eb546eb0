"""A Qwen2.5-VL of published size with random weights, in the files that a published model has.

Nothing is downloaded: architecture numbers are those that a plan goes by, tokenizer and processor those of
``observer:tiles``, the vocabulary filled up to the size of the model's, so that all sizes are true.
"""

import json
import shutil
from dataclasses import dataclass, field

import torch
from safetensors.torch import save_file

SHARD_BYTES = 2 * 10**9
SCALE = 0.02
"""Standard deviation of the weights, that of the published models before training."""


@dataclass(frozen=True)
class Size:
    """A model and the run that it is checked with."""

    pixels: int
    """Of each picture: 28 x 28 for a visual token."""
    prompts: int
    group: int
    max_tokens: int
    rate_size: int
    """Rows and columns of the matrices that the card's rate is measured with."""
    words: list = field(default_factory=list)
    """Options of ``observer fit`` that differ from check.yaml."""
    text: dict = field(default_factory=dict)
    """Sizes of the text model that differ from those of the 3B, by their names in its config.json."""
    vision: dict = field(default_factory=dict)
    """The same of the vision tower."""


SIZES = {
    "3b": Size(pixels=448 * 448, prompts=8, group=8, max_tokens=128, rate_size=8192),
    # The same path in seconds on a CPU.
    "tiny": Size(
        pixels=112 * 112,
        prompts=4,
        group=4,
        max_tokens=16,
        rate_size=256,
        text={
            "hidden_size": 128,
            "intermediate_size": 256,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "vocab_size": 1024,
            "max_position_embeddings": 4096,
            "rope_scaling": {"type": "mrope", "mrope_section": [4, 6, 6]},
        },
        vision={
            "depth": 2,
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_heads": 2,
            "out_hidden_size": 128,
            "fullatt_block_indexes": [1],
        },
    ),
}
TOKENS = {
    "bos_token_id": None,
    "eos_token_id": 2,
    "pad_token_id": 0,
    "image_token_id": 5,
    "video_token_id": 6,
    "vision_start_token_id": 3,
    "vision_end_token_id": 4,
}
"""Of the tokenizer of ``observer:tiles``."""


def config_of(size):
    """Return the configuration of a model, token numbers those of the tokenizer of ``observer:tiles``."""
    from transformers import Qwen2_5_VLConfig

    from observer.planning.architecture import PUBLISHED

    held = json.loads((PUBLISHED / "Qwen--Qwen2.5-VL-3B-Instruct.json").read_text(encoding="utf-8"))
    vision = held["vision_config"] | size.vision
    return Qwen2_5_VLConfig.from_dict(held | size.text | TOKENS | {"vision_config": vision})


def make_model(size, folder, device, seed=0):
    """Write a model with random weights in bfloat16; return how many weights it has.

    What is there already is kept; a folder that was begun and left is made anew.

    Args:
        size: its entry of ``SIZES``.
        folder: where to.
        device: weights are drawn there.
        seed: of the weights.
    """
    from transformers import Qwen2_5_VLForConditionalGeneration

    config = config_of(size)
    with torch.device("meta"):
        model = Qwen2_5_VLForConditionalGeneration(config)
    weights = {name: weight.shape for name, weight in model.named_parameters()}
    count = sum(shape.numel() for shape in weights.values())
    if (folder / "config.json").is_file():  # written last
        return count
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_processor(config.get_text_config(), folder)
    generator = torch.Generator(device).manual_seed(seed)
    shards, held = [{}], 0
    for name, shape in weights.items():
        if held > SHARD_BYTES:
            shards.append({})
            held = 0
        shards[-1][published(name)] = name, shape
        held += 2 * shape.numel()
    index = {}
    for number, shard in enumerate(shards, 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        tensors = {key: drawn(name, shape, generator) for key, (name, shape) in shard.items()}
        save_file(tensors, folder / file, metadata={"format": "pt"})
        index |= dict.fromkeys(tensors, file)
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {"total_size": 2 * count}, "weight_map": index})
    )
    config.save_pretrained(folder)
    return count


def published(name):
    """Return the name of a weight in published files.

    >>> published("model.language_model.norm.weight"), published("model.visual.merger.mlp.0.weight")
    ('model.norm.weight', 'visual.merger.mlp.0.weight')
    """
    return name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")


def drawn(name, shape, generator):
    """Draw one weight: norms are 1, biases small, all others normal."""
    device = generator.device
    if len(shape) == 1 and name.endswith("weight"):
        return torch.ones(shape, dtype=torch.bfloat16)
    weight = torch.empty(shape, dtype=torch.bfloat16, device=device)
    return weight.normal_(0.0, SCALE, generator=generator).cpu()


def write_processor(text, folder):
    """Write the processor of ``observer:tiles`` with as many tokens as the model has.

    Without them vLLM and transformers would know no text for most tokens that a random model draws.
    """
    from observer.policy.model_files import model_path

    shipped = model_path("observer:tiles")
    for name in ("chat_template.jinja", "processor_config.json", "generation_config.json"):
        shutil.copy(shipped / name, folder / name)
    tokenizer = json.loads((shipped / "tokenizer.json").read_text(encoding="utf-8"))
    vocabulary = tokenizer["model"]["vocab"]
    # Without a place in the vocabulary they would be numbered behind what is added here.
    vocabulary |= {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    for number in range(len(vocabulary), text.vocab_size):
        vocabulary[f"~{number}"] = number
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
    own = json.loads((shipped / "tokenizer_config.json").read_text(encoding="utf-8"))
    own["model_max_length"] = text.max_position_embeddings
    (folder / "tokenizer_config.json").write_text(json.dumps(own), encoding="utf-8")
