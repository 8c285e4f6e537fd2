"""From the decoder's grid to the pixels of a picture, or of a part of it.

SAM resizes its masks bilinearly, to the encoder's input and from there, without the padding, to
the picture. Both steps are linear and treat rows and columns alike, so together they are a
product with one matrix from the left and one from the right; and the rows of these matrices that
belong to a part of the picture give that part alone. An organ fills a tenth of a slice.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from samgen.regions import Region, region_from


@dataclass(frozen=True, kw_only=True)
class Enlargement:
    """How maps on the decoder's grid become maps of the picture's pixels.

    Parameters
    ----------
    rows : Tensor, shape (rows, h)
        Of the picture, and of the grid.
    columns : Tensor, shape (columns, w)
    """

    rows: Tensor
    columns: Tensor

    def __call__(self, maps: Tensor, region: Region | None = None) -> Tensor:
        """Maps (K, h, w) in the size of the picture, or a part of it."""
        rows, columns = (
            (self.rows, self.columns)
            if region is None
            else (self.rows[region[0]], self.columns[region[1]])
        )
        return rows @ maps @ columns.T

    def reach(self, marked: Tensor) -> list[Region | None]:
        """Parts of the picture that marked cells of grids have a share in.

        Parameters
        ----------
        marked : Tensor of bool, shape (N, h, w)

        Returns
        -------
        list of region
            None where no cell is marked.
        """
        rows = marked.any(dim=2).float() @ (self.rows > 0).float().T > 0
        columns = marked.any(dim=1).float() @ (self.columns > 0).float().T > 0
        pairs = zip(rows.cpu().numpy(), columns.cpu().numpy(), strict=True)
        return [region_from(*pair) for pair in pairs]


def enlarge_directly(
    grid: tuple[int, int], picture: tuple[int, int], *, device: torch.device
) -> Enlargement:
    """From a grid to a picture, as MedSAM's script resizes its masks.

    Parameters
    ----------
    grid : tuple of int
        Height and width of the logits.
    picture : tuple of int
        Rows and columns.
    device : torch.device
        Where the matrices lie.
    """
    one, two = (
        _resized(torch.eye(n, device=device), size) for n, size in zip(grid, picture, strict=True)
    )
    return Enlargement(rows=one, columns=two)


def enlarge_through(
    side: int,
    grid: tuple[int, int],
    picture: tuple[int, int],
    *,
    covered: tuple[int, int],
    device: torch.device,
) -> Enlargement:
    """The same by way of the encoder's input, as SAM resizes its logits.

    Parameters
    ----------
    side : int
        Of the encoder's input in px.
    grid, picture : tuple of int
        Rows and columns of the decoder's grid and of the picture.
    covered : tuple of int
        Rows and columns of the input that the picture takes up; the rest is padding.
    device : torch.device
    """
    one, two = (
        _resized(_resized(torch.eye(n, device=device), side)[:part], size)
        for n, part, size in zip(grid, covered, picture, strict=True)
    )
    return Enlargement(rows=one, columns=two)


def _resized(columns: Tensor, size: int) -> Tensor:
    """Matrix (n, m) with its rows resized to (size, m), linearly and with pixels as areas."""
    return functional.interpolate(columns.T[None], size=size, mode="linear", align_corners=False)[
        0
    ].T
