"""Text to numbers without torch: normalise, cut into tokens, number them, read pretrained vectors."""

from seqloom.text.arriving import check_arriving as check_arriving
from seqloom.text.arriving import settle as settle
from seqloom.text.normalise import NormalForm as NormalForm
from seqloom.text.normalise import normalise as normalise
from seqloom.text.tokeniser import Token as Token
from seqloom.text.tokeniser import Tokeniser as Tokeniser
from seqloom.text.tokeniser import TokenKind as TokenKind
from seqloom.text.tokeniser import train_subwords as train_subwords
from seqloom.text.vectors import WordVectors as WordVectors
from seqloom.text.vectors import read_vectors as read_vectors
from seqloom.text.vocabulary import PADDING as PADDING
from seqloom.text.vocabulary import UNKNOWN as UNKNOWN
from seqloom.text.vocabulary import Vocabulary as Vocabulary
