"""The command line as tests call it."""

from click.testing import CliRunner, Result

from crowdqc.cli import main


def call(*words) -> Result:
    """Run ``crowdqc`` with these words; an error that is no exit code is raised as it is."""
    return CliRunner().invoke(main, [str(word) for word in words], catch_exceptions=False)
