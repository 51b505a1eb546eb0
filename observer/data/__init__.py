"""Where problems come from: row formats, the pictures they name, and what is drawn from them."""

from observer.data.formats.jsonl import Jsonl
from observer.data.formats.message import Message
from observer.data.module import LadderDataModule
from observer.data.rows import RowFormat, Rows
from observer.data.tiles.rows import Tiles

__all__ = ["Jsonl", "LadderDataModule", "Message", "RowFormat", "Rows", "Tiles"]
