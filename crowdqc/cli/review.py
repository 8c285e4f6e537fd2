"""The command ``review``: a page in the browser on which an expert decides."""

from __future__ import annotations

import getpass
import webbrowser
from pathlib import Path
from typing import Any

import click

from crowdqc.cli.options import OUT, STUDY, described, echo, guarded, open_run, speaker
from crowdqc.findings import InputError


@click.command()
@STUDY
@OUT
@click.option(
    "--queue",
    "order",
    type=click.Choice(["disagreement", "masks", "single", "random", "audit"]),
    default="disagreement",
    show_default=True,
    help="What is asked: disputed boxes, risky masks, what one rater drew alone, a random sample, "
    "or what crowdqc audit chose.",
)
@click.option("--rater", metavar="NAME", help="Only where this rater drew a box.")
@click.option("--reviewer", metavar="NAME", help="Who decides; your user name if not given.")
@click.option("--blind", is_flag=True, help="Do not show the names of raters.")
@click.option("--read-only", is_flag=True, help="Show the page, and save nothing.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="Port; any free one.")
@click.option("--browser/--no-browser", default=False, help="Open the page in the browser.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing on stderr.")
@guarded
@described
def review(study: Path, *, out: Path | None, host: str, port: int, **words: Any) -> None:
    """Prints the address of the page, which works until Ctrl-C.

    Each decision is a row of decisions.csv beside the study file, and is on the disk when the page
    says so. All stages obey it when they run next.
    """
    from crowdqc.review.open import open_review

    try:
        from crowdqc.review.server import Guard, addresses, bind, serve
    except ImportError as error:
        raise InputError(
            "crowdqc review needs starlette and uvicorn: pip install 'crowdqc[review]'"
        ) from error
    browser, quiet = words.pop("browser"), words.pop("quiet")
    words["reviewer"] = words["reviewer"] or getpass.getuser()
    say = speaker(quiet=quiet)
    session = open_review(open_run(study, out=out, say=say), **words)
    with bind(host, port) as listener:
        number = listener.getsockname()[1]
        hosts = addresses(host, number)
        guard = Guard(hosts)
        address = f"http://{hosts[0]}/?token={guard.token}"
        echo(address)
        say(f"{len(session.queue):,} to ask. Open the address in a browser; it works once.")
        if browser:
            webbrowser.open(address)
        serve(session, listener, guard)
