"""Packages that tests lay into a folder as pip does, and ``crowdqc`` run beside them."""

import os
import subprocess
import sys


def install(site, project, code):
    """Lay a distribution of one module into the folder `site`.

    `project` is the table of that name in its pyproject.toml; its first entry point names the
    module.
    """
    version, groups = project.get("version", "1.0"), project["entry-points"]
    info = site / f"{project['name'].replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {version}\n"
    )
    lines = []
    for group, entries in groups.items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in entries.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    module = lines[1].partition(" = ")[2].partition(":")[0]
    (site / f"{module}.py").write_text(code)


def run_crowdqc(folder, *words):
    """``python -m crowdqc`` in a folder, with the packages in its folder ``site``."""
    paths = os.pathsep.join([str(folder / "site"), *sys.path])
    return subprocess.run(
        [sys.executable, "-m", "crowdqc", *words],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONUTF8": "1"},
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
