from .text import batches as batches, stdlib_text as stdlib_text
from .transformer import (
    Attention as Attention,
    Block as Block,
    Embedding as Embedding,
    Head as Head,
    loss as loss,
    transformer_stages as transformer_stages,
)
