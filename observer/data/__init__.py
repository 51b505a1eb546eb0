"""Where problems come from: row formats, the pictures they name, and what is drawn from them."""

from typing import TYPE_CHECKING

from observer import on_demand
from observer.data.columns.mapping import ColumnMap
from observer.data.formats.columns import Columns
from observer.data.formats.jsonl import Jsonl
from observer.data.formats.ladder import Ladder
from observer.data.formats.message import Message
from observer.data.formats.together import Together
from observer.data.handwriting.rows import Handwriting
from observer.data.rows import RowFormat, Rows
from observer.data.tiles.rows import Tiles

if TYPE_CHECKING:
    from observer.data.module import LadderDataModule
else:
    __getattr__, __dir__ = on_demand(__name__, LadderDataModule="observer.data.module")

__all__ = [
    "ColumnMap",
    "Columns",
    "Handwriting",
    "Jsonl",
    "Ladder",
    "LadderDataModule",
    "Message",
    "RowFormat",
    "Rows",
    "Tiles",
    "Together",
]
