"""``segbench publish``."""

from __future__ import annotations

from pathlib import Path

import click

from segbench.util.sequences import counted


@click.command(name="publish", short_help="Build a static site of runs: leaderboards, reports, badges.")
@click.argument("runs", type=click.Path(path_type=Path), nargs=-1, required=True, metavar="RUN...")
@click.option("--out", type=click.Path(path_type=Path), default=Path("site"), show_default=True, help="Folder: new, or a site to renew.")
@click.option("--title", default="", help="What the site is called.  [default: Segmentation benchmarks]")
@click.option("--url", default="", metavar="URL", help="Where it will be served: badges then have whole addresses.")
@click.option("--keep", is_flag=True, help="Leave the runs that the site shows already; only add these, or renew those of the same name.")
@click.option("--format", "name", default="html", show_default=True, metavar="NAME", help="A reporter that makes sites.")
def command(runs: tuple[Path, ...], out: Path, title: str, url: str, keep: bool, name: str) -> int:
    """Build a static site of RUNs (runs' directories, or their run.json), ready for GitHub Pages.

    An index of the runs, a leaderboard for each dataset on which only comparable scores share a table, each run's whole report with its
    data as JSON, CSV and LaTeX, and badges. No page asks anything of any network. The same command renews the site; files
    in the folder that are not of the site stay.
    """
    from segbench.cli.output import relative
    from segbench.errors import ConfigError
    from segbench.execution.publish import publish
    from segbench.plugin.registry import load_catalog

    if url and not url.startswith(("https://", "http://")):
        raise ConfigError(f"--url '{url}' is no address of a site: it starts with https://.")
    address = url.rstrip("/") + "/" if url else ""
    site = publish(runs, out.absolute(), load_catalog(), format=name, title=title, address=address, keep=keep)
    for folder, result in site.runs.items():
        if not result.complete:
            click.echo(f"Note: {folder} is not finished; the site says so.", err=True)
    count = len(site.runs)
    kept_note = f" ({len(site.kept)} kept from before)" if site.kept else ""
    files = f"{counted(site.changed, 'file')} written, {site.removed} removed"
    click.echo(f"{relative(out.absolute() / 'index.html')}: {counted(count, 'run')}{kept_note}; {files}")
    return 0
