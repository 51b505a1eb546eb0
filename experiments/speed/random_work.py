"""What a pass is timed on: the shape of Qwen2.5-VL-3B, random prompts and completions, their FLOPs."""

import math

import torch
from transformers import Qwen2_5_VLConfig

from observer.types import Completion, Group, Patches, Problem, Prompt, Sampling, Turn

GROUP, TEXT_TOKENS = 8, 64
GRID = (1, 64, 64)
"""Patches of a picture in (time, height, width): 896 px a side, four patches a visual token."""
PATCH = 3 * 2 * 14 * 14
"""Numbers of a patch: channels, times, height, width."""
TEXT = {"vocab_size": 151936, "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36}
TEXT |= {"num_attention_heads": 16, "num_key_value_heads": 2, "rms_norm_eps": 1e-6}
TEXT |= {"max_position_embeddings": 128000, "bos_token_id": 151643, "eos_token_id": 151645}
ROPE = {"rope_type": "default", "rope_theta": 1e6, "mrope_section": [16, 24, 24]}
VISION = {"depth": 32, "hidden_size": 1280, "num_heads": 16, "intermediate_size": 3420, "patch_size": 14}
VISION |= {"out_hidden_size": 2048, "spatial_merge_size": 2, "window_size": 112}
VISION |= {"fullatt_block_indexes": [7, 15, 23, 31]}
SPECIAL = {"vision_start_token_id": 151652, "vision_end_token_id": 151653}
SPECIAL |= {"image_token_id": 151655, "video_token_id": 151656}


def model_config(tiny):
    """Return the published configuration of Qwen2.5-VL-3B, or a toy of the same make."""
    text, vision, special = TEXT | {"rope_parameters": ROPE}, VISION, SPECIAL
    if tiny:
        text |= {"vocab_size": 2048, "hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 3}
        text |= {"num_attention_heads": 8, "bos_token_id": 1900, "eos_token_id": 1901}
        text["rope_parameters"] = ROPE | {"mrope_section": [4, 6, 6]}
        vision = vision | {"depth": 2, "hidden_size": 64, "num_heads": 2, "intermediate_size": 128}
        vision |= {"out_hidden_size": 256, "fullatt_block_indexes": [1]}
        special = {name: token - 149_700 for name, token in special.items()}
    return Qwen2_5_VLConfig(text_config=text, vision_config=vision, tie_word_embeddings=True, **special)


def make_prompt(config, row, tiny):
    """Return a prompt of random tokens around a picture of noise, past the renderer."""
    grid = (1, 8, 8) if tiny else GRID
    visual_tokens = math.prod(grid) // config.vision_config.spatial_merge_size**2
    before, after = random_ids(config, 16), random_ids(config, TEXT_TOKENS - 16)
    picture = [config.vision_start_token_id, *[config.image_token_id] * visual_tokens]
    problem = Problem(id=str(row), row=row, turns=(Turn("user", ""),), answer="", kind="integer")
    ids = (*before, *picture, config.vision_end_token_id, *after)
    return Prompt(problem, ids, (Patches(torch.randn(math.prod(grid), PATCH), torch.tensor(grid)),))


def random_ids(config, count):
    """Return ids of text, none of them special in either tokenizer."""
    return torch.randint(1000, config.text_config.eos_token_id - 100, (count,)).tolist()


def make_group(config, prompt, tokens):
    drawn = [tuple(random_ids(config, tokens)) for _ in range(GROUP)]
    completions = [Completion(ids, (0.0,) * tokens, "", "length", index) for index, ids in enumerate(drawn)]
    return Group(prompt, tuple(completions), Sampling(group_size=GROUP, max_tokens=tokens))


def flops(config, grid, prompt, tokens, how, frozen):
    """Return the FLOPs of forward and backward pass over one group; ``shared`` ones are the useful ones."""
    text, vision = config.text_config, config.vision_config
    width, patches = text.hidden_size, math.prod(grid)
    kv_width = width // text.num_attention_heads * text.num_key_value_heads
    layer = 2 * width * width + 2 * width * kv_width + 3 * width * text.intermediate_size
    if how == "shared":  # the last token of a completion predicts nothing and is left out
        own = tokens - 1
        passed = prompt + GROUP * own
        pairs = prompt * (prompt + 1) // 2 + GROUP * (own * prompt + own * (own + 1) // 2)
    else:
        passed = GROUP * (prompt + tokens)
        pairs = GROUP * (prompt + tokens) * (prompt + tokens + 1) // 2
    words = text.num_hidden_layers * (6 * layer * passed + 12 * width * pairs)
    head = 6 * width * text.vocab_size * GROUP * tokens

    side = vision.hidden_size
    full = len(vision.fullatt_block_indexes)
    window = (vision.window_size // vision.patch_size) ** 2  # the grid is cut into whole windows
    block = 4 * side * side + 3 * side * vision.intermediate_size
    merged = vision.spatial_merge_size**2
    merger = (merged * side) ** 2 + merged * side * vision.out_hidden_size
    forward = 2 * patches * (vision.depth * block + PATCH * side) + 2 * patches // merged * merger
    forward += 4 * side * patches * (full * patches + (vision.depth - full) * min(window, patches))
    # The plain pass goes through a frozen tower forward only, the shared one not at all.
    times = {("shared", False): 3, ("shared", True): 0, ("plain", False): 3 * GROUP, ("plain", True): GROUP}
    return words + head + times[how, frozen] * forward
