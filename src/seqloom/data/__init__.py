"""From files to batches: read strictly, told apart without leaks, encoded, and padded little."""

from seqloom.data.batches import batch_order as batch_order
from seqloom.data.batches import collate as collate
from seqloom.data.batches import evaluation_order as evaluation_order
from seqloom.data.batches import pad as pad
from seqloom.data.batches import read as read
from seqloom.data.batches import spell as spell
from seqloom.data.caption_targets import CaptionTargets as CaptionTargets
from seqloom.data.captions import Album as Album
from seqloom.data.check import FINDINGS as FINDINGS
from seqloom.data.check import Report as Report
from seqloom.data.check import check as check
from seqloom.data.columns import Columns as Columns
from seqloom.data.columns import infer_columns as infer_columns
from seqloom.data.examples import Example as Example
from seqloom.data.examples import encode_rows as encode_rows
from seqloom.data.findings import Finding as Finding
from seqloom.data.generators import reviews as reviews
from seqloom.data.next_targets import NextTargets as NextTargets
from seqloom.data.prepare import Prepared as Prepared
from seqloom.data.prepare import prepare as prepare
from seqloom.data.prepare_streams import PreparedStreams as PreparedStreams
from seqloom.data.prepare_streams import is_stream as is_stream
from seqloom.data.prepare_streams import prepare_streams as prepare_streams
from seqloom.data.rows import Rejected as Rejected
from seqloom.data.rows import RejectedRow as RejectedRow
from seqloom.data.rows import Row as Row
from seqloom.data.rows import Table as Table
from seqloom.data.rows import table_of_texts as table_of_texts
from seqloom.data.seen import Seen as Seen
from seqloom.data.series import Window as Window
from seqloom.data.series import Windows as Windows
from seqloom.data.series_prepare import PreparedSeries as PreparedSeries
from seqloom.data.series_targets import SeriesTargets as SeriesTargets
from seqloom.data.sight import Sight as Sight
from seqloom.data.splits import Split as Split
from seqloom.data.splits import split_rows as split_rows
from seqloom.data.table import read_table as read_table
from seqloom.data.tag_targets import TagTargets as TagTargets
from seqloom.data.targets import Targets as Targets
from seqloom.data.text_targets import AnyTargets as AnyTargets
from seqloom.data.text_targets import TextTargets as TextTargets
from seqloom.data.token_stream import TextWindow as TextWindow
from seqloom.data.token_stream import TextWindows as TextWindows
from seqloom.data.token_stream import TokenStream as TokenStream

AnyPrepared = Prepared | PreparedSeries | PreparedStreams
