"""The surface of the command line: commands, arguments, help. What a command does is in the file named after it."""

import asyncio
import logging
import os
from typing import Annotated, Any, Literal, cast

import typer
from typer.core import TyperCommand
from typer.main import get_command

from ..elector import Elector
from ..settings import LAYOUTS, Options, Settings
from ..where import parse
from . import run as run_command
from . import show
from .guard import Registered
from .report import CONFIG, LOST, UNAVAILABLE, USAGE, Failure, log_to_stderr, report
from .signals import run_until_signalled

__all__ = ["entry"]

USAGE_ERROR = typer.BadParameter.__mro__[2]  # ClickException, be it click's own or that of the click inside newer typers
EXIT_CODES = (
    f"Exit codes: {USAGE} the command line, WHERE or an option is wrong; {UNAVAILABLE} no server reached; "
    f"{CONFIG} the servers refuse, or another kind of election is held there: trying again would not help."
)

app = typer.Typer(
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    help="Leader election: one candidate works, the others stand by.",
    epilog=EXIT_CODES,
)


def _seconds(text: str) -> Any:
    return typer.Option(metavar="SECONDS", help=text)


def _name(text: str) -> Any:
    return typer.Option(metavar="NAME", help=text)


WhereArgument = Annotated[
    str,
    typer.Argument(
        metavar="WHERE",
        envvar="AIOHA_WHERE",
        show_default=False,
        help="zk://host[:port],.../path or local:name. A password is better kept in the environment variable.",
    ),
]
Layout = Annotated[str | None, _name(f"How the election lies in znodes: {', '.join(LAYOUTS)}.")]
ConnectTimeout = Annotated[float | None, _seconds("Bound on the first connect; inf: wait for ever.")]
Json = Annotated[bool, typer.Option("--json", help="For programs: JSON.")]


class RunCommand(TyperCommand):
    """Takes CMD, which is all behind the first `--`, away before options are looked for."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        end = args.index("--") if "--" in args else len(args)
        ours, command = args[:end], args[end + 1 :]
        ctx.obj = command
        if not command and "--help" not in ours:
            nothing = not ours and not os.environ.get("AIOHA_WHERE")
            what = "neither WHERE nor a command to run" if nothing else "no command to run; it stands behind --"
            raise Failure(USAGE, f"{what}; write: aioha run WHERE -- CMD [ARG]...")
        return super().parse_args(ctx, ours)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        return [*super().collect_usage_pieces(ctx), "-- CMD [ARG]..."]


def _show_version(wanted: bool) -> None:
    if not wanted:
        return
    from importlib.metadata import PackageNotFoundError, version

    try:
        typer.echo(f"aioha {version('aioha')}")
    except PackageNotFoundError:
        typer.echo("aioha, from a source tree that is not installed")
    raise typer.Exit


@app.callback()
def every_command(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass


@app.command(
    cls=RunCommand,
    help="Run CMD while we lead, and only then.\n\n"
    "CMD has a process group of its own, and AIOHA_TOKEN, AIOHA_TERM, AIOHA_IDENTITY and AIOHA_WHERE in its environment. "
    "When the term is lost it and all that it started get SIGTERM, then SIGKILL before the lease ends; we stand by again. "
    "SIGTERM and SIGINT end CMD, then resign; a second one kills CMD at once. "
    "CMD's own end ends the run with the same status.",
    epilog=f"{EXIT_CODES} {LOST} the term was lost (--once). 127, 126: CMD not found, not executable. "
    "Else CMD's own status, 128 + n after signal n.",
)
def run(
    context: typer.Context,
    where: WhereArgument,
    identity: Annotated[str | None, _name("This candidate's name; default host:pid:random.")] = None,
    data: Annotated[str | None, typer.Option(metavar="TEXT", help="What observers see; default the identity.")] = None,
    layout: Layout = None,
    session_timeout: Annotated[float | None, _seconds("Asked of the servers; default 10.")] = None,
    stop_grace: Annotated[
        float | None, _seconds("CMD's time to end on loss; default a tenth of the session timeout.")
    ] = None,
    takeover_delay: Annotated[float | None, _seconds("Wait between winning and starting CMD.")] = None,
    connect_timeout: ConnectTimeout = None,
    tick: Annotated[float | None, _seconds("The servers' tickTime, if known.")] = None,
    lease: Annotated[str | None, typer.Option(metavar="KIND", help="quorum, or ping for a lone server.")] = None,
    guardian: Annotated[
        str | None,
        typer.Option(metavar="WHAT", help="A process that acts when we are killed or frozen: tree (default), true, false."),
    ] = None,
    no_guardian: Annotated[bool, typer.Option("--no-guardian", help="The same as --guardian false.")] = False,
    on_stuck: Annotated[
        str | None, typer.Option(metavar="WHAT", help="When CMD cannot be ended in time: log, or exit (75).")
    ] = None,
    kill_after: Annotated[float, _seconds("CMD's time from SIGTERM to SIGKILL when we are told to end.")] = 10.0,
    once: Annotated[bool, typer.Option("--once", help=f"Exit {LOST} when the term is lost.")] = False,
    log_json: Annotated[bool, typer.Option("--log-json", help="The log on stderr: one JSON object a line.")] = False,
) -> int:
    options = _given(
        identity=identity,
        data=None if data is None else os.fsencode(data),
        layout=layout,
        session_timeout=session_timeout,
        stop_grace=stop_grace,
        takeover_delay=takeover_delay,
        connect_timeout=connect_timeout,
        tick=tick,
        lease=lease,
        on_stuck=on_stuck,
        guardian=_guardian("false" if no_guardian else guardian),
    )
    log_to_stderr(as_json=log_json)
    if not kill_after >= 0:  # nan, too
        raise Failure(USAGE, f"--kill-after: must be a number of seconds, 0 or more, got {kill_after:g}")
    elector, settings, shown = _elector(where, options, guardian="tree")
    if settings.layout == "hadoop":
        raise Failure(USAGE, "layout=hadoop: not with run, which has no hook to fence another leader with")
    plan = run_command.Plan(shown, context.obj, once, kill_after, settings.grace_within)
    ours = elector.election.guardian
    guard = Registered(ours, log_json=log_json) if ours is not None else None
    return asyncio.run(run_command.run(elector, plan, guard))


@app.command(epilog=f"{EXIT_CODES} 0: somebody leads, 1: nobody.")
def status(where: WhereArgument, json: Json = False, layout: Layout = None, connect_timeout: ConnectTimeout = None) -> int:
    """Show who leads."""
    elector, _, shown = _elector(where, _given(layout=layout, connect_timeout=connect_timeout, guardian=False))
    logging.disable()  # the one line that says what went wrong is enough
    return run_until_signalled(show.status(elector, shown, as_json=json))


@app.command(epilog=f"{EXIT_CODES} 128 + n: ended by signal n.")
def watch(where: WhereArgument, json: Json = False, layout: Layout = None, connect_timeout: ConnectTimeout = None) -> int:
    """Show who leads, and each change in a line, until interrupted."""
    elector, _, _ = _elector(where, _given(layout=layout, connect_timeout=connect_timeout, guardian=False))
    log_to_stderr(level=logging.WARNING)
    return run_until_signalled(show.watch(elector, as_json=json))


@app.command(epilog=f"{UNAVAILABLE}: no ZooKeeper on this machine (--zookeeper). 1: two candidates worked at once.")
def demo(
    zookeeper: Annotated[
        bool, typer.Option("--zookeeper", help="On a real ensemble of three servers, started here.")
    ] = False,
) -> int:
    """See three candidates: the leader is killed, then resigns, and what happened is drawn."""
    from .demo.story import tell  # only here: nobody else needs it loaded

    return run_until_signalled(tell(zookeeper=zookeeper))


def entry(arguments: list[str]) -> int:
    """Run one command line; returns the exit code."""
    if not arguments:
        _invoke(["--help"])
        return USAGE
    try:
        return _invoke(arguments)
    except typer.Abort:  # Ctrl-C, as some versions of typer pass it on
        return 130
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - a bug is reported as well, with its traceback
        if isinstance(error, USAGE_ERROR):
            said = cast(Any, error)  # by click, with the context of the command where it could tell which one was meant
            command = said.ctx.command_path if getattr(said, "ctx", None) else "aioha"
            error = Failure(USAGE, f"{said.format_message()} (see {command} --help)")
        return report(error)


def _invoke(arguments: list[str]) -> int:
    return int(get_command(app).main(args=arguments, prog_name="aioha", standalone_mode=False) or 0)


def _given(**values: object) -> Options:
    """The options that were given: what is left out is the library's to decide."""
    return cast(Options, {name: value for name, value in values.items() if value is not None})


def _guardian(text: str | None) -> Any:
    if text not in (None, "true", "false", "tree"):
        raise Failure(USAGE, f"--guardian: {text!r} is not one of tree, true, false")
    return {"true": True, "false": False}.get(str(text), text)


def _elector(where: str, options: Options, *, guardian: Literal[False, "tree"] = False) -> tuple[Elector, Settings, str]:
    """The elector, its settings, and WHERE without credentials. `guardian`: unless WHERE or the options say otherwise."""
    try:
        place = parse(where)
        if "guardian" not in place.options:
            options = {"guardian": guardian, **options}
        return Elector(where, **options), Settings.resolve(place, **options), str(place)
    except ValueError as error:
        raise Failure(USAGE, str(error)) from None
