"""Groups and models on which every way to log-probs must agree."""

import torch
from transformers import Qwen2VLConfig, Qwen3VLConfig

BANNED = (3, 4, 5, 6)  # vision start, vision end, image, video
END = 2
IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"

CASES = {
    "one picture": [("What is the sum?", [(84, 84)], [5, 9])],
    "unequal prompts and pictures": [
        ("What?", [(84, 84)], [7, 1]),
        ("What is the sum of all the red and the blue tiles?", [(56, 140)], [3]),
        ("How many?", [(112, 28)], [12, 2]),
    ],
    "several pictures": [("<image> or <image>, or <image>?", [(28, 28), (84, 56), (56, 84)], [6, 4])],
    "repeated pictures": [
        ("<image>Same as <image>?", [(84, 56), (84, 56)], [6]),
        ("Again: <image>", [(84, 56)], [6]),
    ],
    "equal prompts, equal groups": [("Which?", [(84, 84)], [5, 2]), ("Which?", [(84, 84)], [3, 6])],
    "equal prompts, unequal groups": [("Which?", [(84, 84)], [5]), ("Which?", [(84, 84)], [3, 1, 6])],
    "single tokens": [("What?", [(84, 84)], [1, 1]), ("Where?", [(28, 28)], [1])],
    "text only": [("What is 3 + 4?", [], [8, 3]), ("Say yes.", [], [2])],
    "mixed": [
        ("What is 3 + 4?", [], [8, 3]),
        ("What is the sum of the red tiles?", [(84, 84)], [1, 10]),
        ("Hello", [], [5]),
        ("<image>and<image>", [(28, 56), (140, 84)], [7]),
    ],
}
"""(text, picture sizes, completion lengths) of each group."""


TEXT = {
    "vocab_size": 329,
    "hidden_size": 64,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "initializer_range": 0.1,
    "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 3, 3]},
    "bos_token_id": None,
    "eos_token_id": END,
    "pad_token_id": 0,
}
VISION = {"depth": 2, "num_heads": 2, "patch_size": 14, "initializer_range": 0.1}
TOKENS = {"vision_start_token_id": 3, "vision_end_token_id": 4, "image_token_id": 5, "video_token_id": 6}
KIN = {
    "Qwen2-VL": lambda: Qwen2VLConfig(
        text_config={key: value for key, value in TEXT.items() if key != "head_dim"},
        vision_config={**VISION, "embed_dim": 32, "hidden_size": 64, "mlp_ratio": 2},
        **TOKENS,
    ),
    "Qwen3-VL": lambda: Qwen3VLConfig(
        text_config=TEXT,
        vision_config={
            **VISION,
            "hidden_size": 32,
            "intermediate_size": 32,
            "out_hidden_size": 64,
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 64,
        },
        **TOKENS,
    ),
}


def each(groups):
    return [(group, completion) for group in groups for completion in group.completions]


def alone(model, processor, group, completion):
    """The log-probs of a completion by transformers' own forward: one row, no padding, its own positions."""
    question = group.problem.question
    question = question if "<image>" in question else "<image>" * len(group.problem.pictures) + question
    text = f"<|im_start|>user\n{question.replace('<image>', IMAGE)}<|im_end|>\n<|im_start|>assistant\n"
    pictures = [picture.load() for picture in group.problem.pictures]
    inputs = processor(text=[text], images=pictures or None, return_tensors="pt")
    tail = torch.tensor([completion.ids])
    inputs["input_ids"] = torch.cat([inputs["input_ids"], tail], 1)
    inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], torch.zeros_like(tail)], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    assert "position_ids" not in inputs
    model.model.rope_deltas = None
    logits_T_V = model(**inputs).logits[0, -tail.shape[1] - 1 : -1].double()
    banned_T_V = torch.zeros_like(logits_T_V, dtype=torch.bool)
    banned_T_V[:, list(BANNED)] = True
    banned_T_V[: group.sampling.min_tokens, END] = True
    logits_T_V = logits_T_V.masked_fill(banned_T_V, -torch.inf) / group.sampling.temperature
    return logits_T_V.log_softmax(-1).gather(-1, tail[0][:, None])[:, 0]


def awaken(policy, seed=0):
    """Give adapters weights at random: as they are drawn, their B is 0 and they do nothing."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in policy.named_parameters():
            if "lora_" in name:
                parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return policy


def backward(policy, groups):
    """Values of a pass and, by name, the gradients of a weighted sum of them; None where there is none."""
    policy.zero_grad()
    values_N_T = policy.logprobs(groups).values_N_T
    weights_N_T = torch.randn(values_N_T.shape, generator=torch.Generator().manual_seed(1))
    (values_N_T * weights_N_T).sum().backward()
    gradients = {name: parameter.grad for name, parameter in policy.named_parameters()}
    policy.zero_grad()
    return values_N_T.detach(), gradients


def assert_same_pass(found, expected, tolerance=1e-5):
    """Values agree, and each tensor's gradient, relative to its largest entry.

    1e-5 is 170 roundings of float32; there and back, a pass is about 200 of them in a row (``bounds.CHAIN``).
    """
    torch.testing.assert_close(found[0], expected[0], atol=tolerance, rtol=tolerance)
    assert found[1].keys() == expected[1].keys()
    for name, theirs in expected[1].items():
        mine = found[1][name]
        assert (mine is None) == (theirs is None), name
        if theirs is not None:
            bound = tolerance * max(1.0, float(theirs.abs().max()))
            torch.testing.assert_close(
                mine, theirs, atol=bound, rtol=tolerance, msg=lambda m, n=name: f"{n}: {m}"
            )
