"""``crowdqc paper``: published values beside those recomputed from released scores."""

from __future__ import annotations

from pathlib import Path

import click

from crowdqc.cli.options import guarded


@click.command()
@click.argument("config", type=click.Path(path_type=Path))
@guarded
def paper(config: Path) -> None:
    """Recompute a paper's values from its released scores; write paper.md and paper.html."""
    from crowdqc.paper import write_paper

    for path in write_paper(config):
        click.echo(path.name)
