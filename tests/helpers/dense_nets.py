"""The training laboratory's nets in PyTorch: what its engine is compared with, and what its numbers come from."""

from __future__ import annotations

from torch import Tensor, nn

KINDS = ("plain", "residual", "zeroed", "preact")


class Block(nn.Module):
    """Two linear layers; a residual one adds its input."""

    def __init__(self, width: int, kind: str, batch_norm: bool) -> None:
        super().__init__()
        self.kind = kind
        self.linear1, self.linear2 = (nn.Linear(width, width, bias=not batch_norm) for _ in range(2))
        self.norm1, self.norm2 = (nn.BatchNorm1d(width) if batch_norm else nn.Identity() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        """(B, width) -> (B, width)."""
        if self.kind == "preact":
            return x + self.linear2(self.norm2(self.linear1(self.norm1(x).relu())).relu())
        branch = self.norm2(self.linear2(self.norm1(self.linear1(x)).relu()))
        return (branch if self.kind == "plain" else branch + x).relu()


class DenseNet(nn.Module):
    """First layer, (depth - 2) / 2 blocks, last layer: 64 pixels -> 10 classes."""

    def __init__(self, kind: str, depth: int, width: int, batch_norm: bool) -> None:
        super().__init__()
        self.kind = kind
        self.first = nn.Linear(64, width, bias=not batch_norm)
        self.norm = nn.BatchNorm1d(width) if batch_norm else nn.Identity()
        self.blocks = nn.ModuleList(Block(width, kind, batch_norm) for _ in range((depth - 2) // 2))
        self.last = nn.Linear(width, 10)
        for layer in self.linears():
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        if kind == "zeroed":
            for block in self.blocks:
                nn.init.zeros_(block.norm2.weight if batch_norm else block.linear2.weight)

    def linears(self) -> list[nn.Linear]:
        """All linear layers, from the first to the last."""
        inner = [layer for block in self.blocks for layer in (block.linear1, block.linear2)]
        return [self.first, *inner, self.last]

    def norms(self) -> list[nn.BatchNorm1d]:
        """All batch norms, in the order in which the data passes them."""
        inner = [layer for block in self.blocks for layer in (block.norm1, block.norm2)]
        order = [*inner, self.norm] if self.kind == "preact" else [self.norm, *inner]
        return [layer for layer in order if isinstance(layer, nn.BatchNorm1d)]

    def forward(self, x: Tensor) -> Tensor:
        """(B, 64) -> (B, 10)."""
        x = self.first(x)
        if self.kind != "preact":
            x = self.norm(x).relu()
        for block in self.blocks:
            x = block(x)
        if self.kind == "preact":
            x = self.norm(x).relu()
        return self.last(x)
