"""The attention layer TalkNet uses three times."""

import torch.nn.functional as F
from torch import Tensor, nn

HEADS = 8
DROPOUT = 0.1


class AttentionLayer(nn.Module):
    """Post-norm transformer layer whose query is another sequence than its residual.

    query = target, key = value = residual = source; no positional encoding.
    """

    def __init__(self, width: int, feedforward: int):
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, HEADS, dropout=DROPOUT, batch_first=True)
        self.linear1 = nn.Linear(width, feedforward * width)
        self.linear2 = nn.Linear(feedforward * width, width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """(B, T, C), (B, T, C) -> (B, T, C)."""
        attended, _ = self.self_attn(target, source, source, need_weights=False)
        source = self.norm1(source + self.dropout(attended))
        hidden = self.linear2(self.dropout(F.relu(self.linear1(source))))
        return self.norm2(source + self.dropout(hidden))
