"""``crowdqc compare``: two sets of scores by paired statistics."""

from __future__ import annotations

from pathlib import Path

import click

from crowdqc.cli.options import guarded, output_options, speaker
from crowdqc.findings import InputError


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--on", multiple=True, required=True, help="Column that pairs rows; may be repeated.")
@click.option("--by", help="Column of one file whose two values are the two sets.")
@click.option("--label", help="Column that says what a row is about (tables in long form).")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the bootstrap.")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="CSV file to write as well.")
@output_options
@guarded
def compare(  # noqa: PLR0913
    files: tuple[Path, ...],
    *,
    on: tuple[str, ...],
    by: str | None,
    label: str | None,
    seed: int,
    output: Path | None,
    style: str,
    quiet: bool,
    verbose: bool,
) -> None:
    """Compare two sets of scores by paired statistics.

    A.csv B.csv --on path pairs the rows of two files by a column and compares every numeric
    column that both have; F.csv --by model --on path does it for two groups of one file.
    """
    from crowdqc.cli.show import print_table, write_out
    from crowdqc.compare import compare_files
    from crowdqc.files import atomic

    if output is not None and output.resolve() in {file.resolve() for file in files}:
        raise InputError(f"{output}: is read, and is not overwritten; name another file.")
    table, findings = compare_files(files, on=on, by=by, label=label, seed=seed)
    if output is not None:
        with atomic(output) as temporary:
            table.to_csv(temporary, index=False, lineterminator="\n")
    if style == "table":
        shown = ["label", "n", "mean_a", "mean_b", "difference", "low", "high", "p", "p_holm"]
        sets = " and ".join(table[["a", "b"]].iloc[0]) if len(table) else ""
        print_table(
            table[shown].rename(columns={"difference": "diff"}), f"Paired differences: {sets}"
        )
    else:
        write_out(table, style)
    say = speaker(quiet=quiet)
    for finding in findings:
        if verbose or finding.severity.rank:
            say(f"{finding.severity.value}: {finding.message}")
