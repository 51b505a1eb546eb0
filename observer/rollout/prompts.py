"""Renders problems into prompts: the one place where prompt token ids and pixels come from."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from hashlib import blake2b
from itertools import islice, repeat
from typing import TYPE_CHECKING, Any, NamedTuple

from jinja2 import TemplateError

from observer.refusal import shown, still_there
from observer.types import IMAGE_MARK, Patches, Picture, Problem, Prompt, RefusedError, Turn

if TYPE_CHECKING:
    from PIL import Image

Name = tuple[str, str, int, tuple[Turn, ...]]
"""Source, id, row and turns of a problem."""


class Length(NamedTuple):
    """How long a prompt is, in tokens."""

    text: int
    """Of the chat, what frames its pictures included."""
    pictures: int
    """Visual tokens of all its pictures."""

    @property
    def total(self) -> int:
        """Of the prompt."""
        return self.text + self.pictures


class PromptRenderer:
    """Turns problems into prompts, for every engine and every forward pass."""

    def __init__(self, processor: Any, system_prompt: str, max_tokens: int, threads: int = 4) -> None:
        """Keep the processor, the system prompt and the limit of length.

        Args:
            processor: the policy's transformers processor.
            system_prompt: put in front of chats that have no system turn; empty for none.
            max_tokens: longer prompts are refused; they are never cut, for a cut would lose picture tokens.
            threads: how many pictures are decoded at once.
        """
        self.processor = processor
        self.system_prompt = system_prompt
        self.max_tokens = max_tokens
        self.image_id = processor.tokenizer.convert_tokens_to_ids(processor.image_token)
        self._special = tuple(processor.tokenizer.all_special_tokens)
        self._threads = threads
        self._start()

    def _start(self) -> None:
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="pictures")
        self._background = ThreadPoolExecutor(1, thread_name_prefix="prompts")
        self._ahead: tuple[list[Name], Future[list[Prompt]]] | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles have threads of their own, and nothing that was rendered ahead."""
        return {k: v for k, v in vars(self).items() if k not in ("_pool", "_background", "_ahead")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._start()

    @cached_property
    def digest(self) -> str | None:
        """A digest of all that ``check`` depends on, apart from the problem and this package's code.

        None for a tokenizer that cannot be serialised.
        """
        tokenizer = self.processor.tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            return None
        parts = [
            self.system_prompt,
            self.max_tokens,
            self.processor.chat_template,
            self.processor.to_dict(),
            [type(part).__qualname__ for part in (self.processor, tokenizer, self.processor.image_processor)],
            tokenizer.special_tokens_map,
            self._special,
            backend.to_str(),
        ]
        # Other objects enter by their repr; if it holds an address, rows are only checked once more.
        return blake2b(json.dumps(parts, sort_keys=True, default=repr).encode()).hexdigest()

    def text(self, problem: Problem) -> str:
        """Return the chat as text, one placeholder per picture.

        Raises:
            RefusedError: a turn holds a special token, or there are more or fewer ``<image>`` marks than
                pictures, or the chat template cannot render the chat.
        """
        turns = problem.turns
        if self.system_prompt and not any(turn.role == "system" for turn in turns):
            turns = (Turn("system", self.system_prompt), *turns)
        marks = sum(turn.text.count(IMAGE_MARK) for turn in turns)
        if marks != len(problem.pictures):
            raise _refused(
                problem, f"{marks} {IMAGE_MARK} marks for {len(problem.pictures)} pictures; make them equal"
            )
        for turn in turns:
            if found := next((token for token in self._special if token in turn.text), None):
                raise _refused(problem, f"the {turn.role} turn holds the special token {found!r}; remove it")
        messages = [{"role": turn.role, "content": _items(turn.text)} for turn in turns]
        try:
            text: str = self.processor.apply_chat_template(
                messages, tokenize=False, add_generation_prompt=True
            )
        except (TemplateError, ValueError, TypeError, KeyError) as error:  # as for roles that it refuses
            raise _refused(problem, f"the model's chat template cannot render it: {error}") from error
        return text

    def check(self, problem: Problem) -> int:
        """Return the length of a problem's prompt in tokens, from picture headers alone.

        Raises:
            RefusedError: as ``measure``.
        """
        return self.measure(problem).total

    def measure(self, problem: Problem) -> Length:
        """Return the length of a problem's prompt, text and pictures apart.

        Raises:
            RefusedError: the prompt cannot be rendered, or is longer than ``max_tokens``.
        """
        length = self.length(problem)
        self._refuse_long(problem, length.total)
        return length

    def length(self, problem: Problem) -> Length:
        """Return the length of a problem's prompt, however long it is, from picture headers alone.

        Raises:
            RefusedError: the prompt cannot be rendered.
        """
        ids: list[int] = self.processor.tokenizer(self.text(problem)).input_ids
        if not problem.pictures:
            return Length(len(ids), 0)
        try:
            sizes = [list(picture.size()) for picture in problem.pictures]
        except RefusedError as error:
            raise _refused(problem, str(error)) from error
        counts: list[int] = self.processor._get_num_multimodal_tokens(image_sizes=sizes).num_image_tokens
        return Length(len(ids) - ids.count(self.image_id), sum(counts))

    @property
    def token_side(self) -> int:
        """Pixels of a side of what one visual token shows."""
        return int(self.processor.image_processor.patch_size * self.processor.image_processor.merge_size)

    def seen(self, picture: Picture) -> Image.Image:
        """Return a picture at the size at which the model sees it.

        Raises:
            RefusedError: it cannot be decoded.
        """
        image, processor = picture.load(), self.processor.image_processor
        _, height, width = processor(images=[image], return_tensors="pt")["image_grid_thw"][0].tolist()
        return image.resize((width * processor.patch_size, height * processor.patch_size), processor.resample)

    def prefetch(self, problems: Sequence[Problem]) -> None:
        """Start to render the next problems on a background thread.

        An error is raised by the ``render`` that asks for them.
        """
        if problems:
            self._ahead = (_names(problems), self._background.submit(self._render, problems))

    def render(self, problems: Sequence[Problem]) -> list[Prompt]:
        """Decode the pictures on threads and tokenise: one prompt per problem.

        Raises:
            LostInputError: a picture cannot be decoded.
            RefusedError: a prompt is too long.
        """
        names, ahead = self._ahead or (None, None)
        if ahead is None or names != _names(problems):
            return self._render(problems)
        self._ahead = None
        return ahead.result()

    def _render(self, problems: Sequence[Problem]) -> list[Prompt]:
        all_ids = self.processor.tokenizer([self.text(problem) for problem in problems]).input_ids
        pictures = iter(
            self._patches([(problem, shown) for problem in problems for shown in problem.pictures])
        )
        prompts = []
        for problem, ids in zip(problems, all_ids, strict=True):
            own = tuple(islice(pictures, len(problem.pictures)))
            prompt = Prompt(problem, tuple(self._expanded(ids, own)), own)
            self._refuse_long(problem, len(prompt.ids))
            prompts.append(prompt)
        return prompts

    def _patches(self, pictures: Sequence[tuple[Problem, Picture]]) -> list[Patches]:
        """Decode and preprocess pictures; equal ones become the same object and are preprocessed once.

        Args:
            pictures: with the problem that shows each.
        """
        if not pictures:
            return []
        images = list(self._pool.map(lambda place: _decoded(*place), pictures))
        keys = [(image.size, image.tobytes()) for image in images]
        distinct = dict(zip(keys, images, strict=True))
        inputs = self.processor.image_processor(images=list(distinct.values()), return_tensors="pt")
        grids = inputs["image_grid_thw"]
        pixels = inputs["pixel_values"].split(grids.prod(-1).tolist())
        patches = dict(zip(distinct, map(Patches, pixels, grids), strict=True))
        return [patches[key] for key in keys]

    def _expanded(self, ids: Sequence[int], pictures: Sequence[Patches]) -> Iterator[int]:
        """Repeat the placeholder of each picture once per visual token."""
        merge = self.processor.image_processor.merge_size**2
        counts = iter([int(patches.grid.prod()) // merge for patches in pictures])
        for token in ids:
            yield from repeat(token, next(counts) if token == self.image_id else 1)

    def _refuse_long(self, problem: Problem, length: int) -> None:
        if length > self.max_tokens:
            raise _refused(
                problem,
                f"its prompt has {length} tokens, more than max_prompt_tokens {self.max_tokens}; shrink its "
                f"pictures (max_pixels), shorten it, raise the limit, or set on_bad_row to skip",
            )


def _decoded(problem: Problem, picture: Picture) -> Image.Image:
    with still_there(problem):
        return picture.load()


def _names(problems: Sequence[Problem]) -> list[Name]:
    """Return names that are unique across ladders; a row that is read again has an equal name."""
    return [(problem.source, problem.id, problem.row, problem.turns) for problem in problems]


def _items(text: str) -> list[dict[str, str]]:
    """Split a turn at its picture marks into the content items that chat templates take."""
    first, *rest = text.split(IMAGE_MARK)
    items = [{"type": "text", "text": first}] if first else []
    for part in rest:
        items.append({"type": "image"})
        if part:
            items.append({"type": "text", "text": part})
    return items


def _refused(problem: Problem, why: str) -> RefusedError:
    return RefusedError(f"{problem.source or 'problem'}: row {shown(problem.id)}: {why}")
