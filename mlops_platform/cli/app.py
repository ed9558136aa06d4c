"""The commands and their options; each imports its work only when it is called."""

import os
from pathlib import Path
from typing import Annotated

import typer

from mlops_platform.cli import context, serving

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    help="One lineage graph from raw rows to champion and back.",
    epilog="Start with: [bold]mlops demo[/bold]    Every command's --help has an example.",
)  # fmt: skip

Json = Annotated[bool, typer.Option("--json", help="Print JSON for a program.")]
ModelName = Annotated[str, typer.Argument(help="Name of a model.")]
Version = Annotated[str, typer.Option(help="Version in MLflow's registry.")]
By = Annotated[str, typer.Option(help="Who asks; written to the history.")]
Because = Annotated[str, typer.Option(help="Why; written to the history.")]
Where = Annotated[
    str, typer.Option("--compute", metavar="NAME=VALUE,...", help="Where to train, whatever models declare.")
]
Asker = Annotated[str | None, typer.Option(help="Who asks. Default: MLOPS_ACTOR, or else the account.")]


@app.callback()
def options(
    home: Annotated[
        Path | None,
        typer.Option(envvar="MLOPS_HOME", help="Folder of all state; deleting it resets everything. Default: .mlops"),
    ] = None,
    env: Annotated[str | None, typer.Option(envvar="MLOPS_ENV", help="dev, staging or prod. Default: dev")] = None,
) -> None:
    """One lineage graph from raw rows to champion and back."""
    if home is not None:
        os.environ["MLOPS_HOME"] = str(home.absolute())
    if env is not None:
        os.environ["MLOPS_ENV"] = env


@app.command(epilog="Example: mlops demo --through 2013-06 --then 2013-07")
def demo(
    through: Annotated[str, typer.Option(help="Month up to which data lands first, YYYY-MM.")] = "2013-06",
    then: Annotated[str, typer.Option(help="Month that lands afterwards, YYYY-MM.")] = "2013-07",
) -> None:
    """Show the main job: land, materialize, explain one prediction, then one month more."""
    from mlops_platform.cli.demo import run_demo

    raise typer.Exit(run_demo(through, then))


@app.command(epilog="Example: mlops land flights --through 2013-06")
def land(
    name: Annotated[str, typer.Argument(help="Name of the project.")],
    through: Annotated[str, typer.Option(help="Newest month to land, YYYY-MM.")],
    since: Annotated[str | None, typer.Option("--from", help="Oldest month to land, YYYY-MM.")] = None,
) -> None:
    """Deliver source files into the landing, as the upstream would; what is there already stays."""
    from mlops_platform.cli.landing import deliver, delivery_lines

    project, home = context.project(), context.home()
    home.prepare()
    console = context.console()
    for line in delivery_lines(deliver(project, home, name, through=through, since=since)):
        console.print(line)
    exported = f"export MLOPS_HOME={home.path} DAGSTER_HOME={home.path}"
    console.print(f"Dagster's own commands work on this home after: {exported}", style="dim", soft_wrap=True)


@app.command(
    epilog="""Example: mlops materialize --select 'key:"flights/flight_delay/dataset"+'
    or: mlops materialize --compute accelerator=cuda,devices=2,launcher=torchrun
    Exit code: 0 fine, 1 a station failed, 3 made but a check of severity ERROR is red."""
)
def materialize(
    select: Annotated[str, typer.Option(help="Dagster's asset selection.")] = "*",
    compute: Where = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print the end only.")] = False,
) -> None:
    """Bring stations up to date; what did not change is taken as it was."""
    from mlops_platform.cli.run_view import show_run

    run = show_run(context.project(), context.home(), select, compute=compute, quiet=quiet)
    raise typer.Exit(run.exit_code)


@app.command(epilog="Example: mlops tune flight_delay --trials 30 --timeout 2h")
def tune(
    model: ModelName,
    trials: Annotated[
        int, typer.Option(min=0, help="How many in all, those done before counted. Default: as declared.")
    ] = 0,
    parallel: Annotated[int, typer.Option(min=0, help="How many at a time. Default: as declared.")] = 0,
    timeout: Annotated[str | None, typer.Option(help="After this long no further trial begins: 30m, 2h.")] = None,
    as_json: Json = False,
) -> None:
    """Look for better values of a model's network by trainings on its dataset; goes on where it was stopped."""
    from mlops_platform.cli.tune import show_tuning

    raise typer.Exit(show_tuning(context.project(), context.home(), model, trials=trials, parallel=parallel,
                                 timeout=timeout, as_json=as_json))  # fmt: skip


@app.command(epilog="Example: mlops rebuild origin_delays --from 2013-03 --to 2013-05")
def rebuild(
    table: Annotated[str, typer.Argument(help="Name of a feature table.")],
    since: Annotated[
        str | None, typer.Option("--from", help="First month, YYYY-MM. Default: the table's first.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", help="Last month, YYYY-MM. Default: the table's last.")] = None,
    as_json: Json = False,
) -> None:
    """Compute months of a feature table again from the raw rows; equal bytes write nothing and move nothing."""
    from mlops_platform.cli.rebuild import show_rebuild

    raise typer.Exit(show_rebuild(context.project(), context.home(), table, since, until, as_json=as_json))


@app.command(epilog="Example: mlops plan --select 'group:features'")
def plan(
    select: Annotated[str, typer.Option(help="Dagster's asset selection.")] = "*",
    compute: Where = "",
    as_json: Json = False,
) -> None:
    """Tell what a run would do and why, without running it."""
    from mlops_platform.cli.plan import show_plan

    show_plan(context.project(), context.home(), select, compute=compute, as_json=as_json)


@app.command(epilog="Example: mlops why p-0123456789ab-cdef01234567    or: mlops why latest")
def why(
    prediction: Annotated[str, typer.Argument(help="A prediction's id, or: latest", metavar="PREDICTION_ID")],
    as_json: Json = False,
) -> None:
    """Walk one prediction back to its model, dataset, feature rows and source files."""
    from mlops_platform.cli.why_tree import show_why

    show_why(context.project(), context.home(), prediction, as_json=as_json)


@app.command(epilog="Example: mlops why-ran flight_delay/checkpoint")
def why_ran(
    asset: Annotated[str, typer.Argument(help="A station: flight_delay/dataset, or with its project.")],
    as_json: Json = False,
) -> None:
    """Tell which part of a station's key changed when it last ran, or that nothing did."""
    from mlops_platform.cli.why_ran import show_why_ran

    show_why_ran(context.project(), context.home(), asset, as_json=as_json)


@app.command(epilog="Example: mlops status --runs 10")
def status(
    runs: Annotated[int, typer.Option(help="How many of Dagster's last runs to list.")] = 3, as_json: Json = False
) -> None:
    """Tell what is live, what is stale and why, who holds which device, and how the last runs ended."""
    from mlops_platform.cli.status import show_status

    show_status(context.project(), context.home(), runs, as_json=as_json)


@app.command(epilog="Example: mlops history flight_delay --at 2026-01-31T12:00:00Z")
def history(
    model: Annotated[str, typer.Argument(help="Name of a model.")],
    at: Annotated[str | None, typer.Option(help="What was live at this time, ISO 8601 (UTC unless it says).")] = None,
    as_json: Json = False,
) -> None:
    """Tell which version was champion when, who moved it and on what evidence."""
    from mlops_platform.cli.history import show_history

    show_history(context.project(), context.home(), model, at, as_json=as_json)


@app.command(epilog="Example: mlops rollback flight_delay --because 'complaints since noon'")
def rollback(
    model: ModelName,
    to: Annotated[str | None, typer.Option(help="Version. Default: the one that was live before.")] = None,
    by: Asker = None,
    because: Because = "no reason given",
    as_json: Json = False,
) -> None:
    """Make an earlier champion live again; the version left is barred from automatic promotion."""
    from mlops_platform.cli.promotion import roll_back

    roll_back(context.project(), context.home(), model, to, by, because, as_json=as_json)


@app.command(epilog="Example: mlops promote flight_delay --version 2 --by ada --because 'reviewed with the airport'")
def promote(model: ModelName, version: Version, by: By, because: Because, as_json: Json = False) -> None:
    """Make a version champion by a person's word; the last step where the gate requires approval."""
    from mlops_platform.cli.promotion import promote_version

    promote_version(context.project(), context.home(), model, version, by, because, as_json=as_json)


@app.command(epilog="Example: mlops stop-rollout flight_delay --by ada --because 'callers complain'")
def stop_rollout(model: ModelName, by: By, because: Because, as_json: Json = False) -> None:
    """End an open rollout at once: the champion answers everything."""
    from mlops_platform.cli.promotion import stop_open_rollout

    stop_open_rollout(context.project(), context.home(), model, by, because, as_json=as_json)


@app.command(epilog="Example: mlops allow flight_delay --version 2 --by ada --because 'the feed is mended'")
def allow(model: ModelName, version: Version, by: By, because: Because, as_json: Json = False) -> None:
    """Lift the bar of a version that was rolled back; the gate may promote it again."""
    from mlops_platform.cli.promotion import allow_version

    allow_version(context.project(), context.home(), model, version, by, because, as_json=as_json)


@app.command(epilog="Example: mlops rehearse-rollback flight_delay")
def rehearse_rollback(
    model: ModelName, by: Asker = None, because: Because = "A rehearsal.", as_json: Json = False
) -> None:
    """Roll back and forward again, look at what is live after each, and record the seconds; nothing is barred."""
    from mlops_platform.cli import promotion

    promotion.rehearse_rollback(context.project(), context.home(), model, by, because, as_json=as_json)


@app.command(epilog="Example: mlops notifications --deliver")
def notifications(
    deliver: Annotated[bool, typer.Option("--deliver", help="Post what is due, as the daemon's sensor does.")] = False,
    count: Annotated[int, typer.Option(help="How many to list.", min=1)] = 20,
    as_json: Json = False,
) -> None:
    """List what happened and whether it was told: promotions, rejections, quarantined files, failed runs."""
    from mlops_platform.cli.notifications import show_notifications

    show_notifications(context.project(), context.home(), count, deliver_now=deliver, as_json=as_json)


@app.command(epilog="Example: mlops gc --dry-run    or: mlops gc --keep-days 90 --yes")
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Tell what would be removed, and remove nothing.")] = False,
    keep_days: Annotated[
        float, typer.Option(min=0, max=36_500, help="What was made in the last days stays in any case.")
    ] = 30,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for runs at work to end.")] = 60,
    as_json: Json = False,
) -> None:
    """Remove what no champion, history, registered version, logged answer or recent work reaches."""
    from mlops_platform.cli.gc import show_gc

    show_gc(context.project(), context.home(), dry_run=dry_run, keep_days=keep_days, yes=yes, wait=wait,
            as_json=as_json)  # fmt: skip


@app.command(epilog="Example: mlops graph --json")
def graph(as_json: Json = False) -> None:
    """Print the lineage in flow order, with the state of each station."""
    from mlops_platform.cli.graph import show_graph

    show_graph(context.project(), context.home(), as_json=as_json)


@app.command(epilog="Example: mlops doctor")
def doctor(as_json: Json = False) -> None:
    """Check the set-up and say how to mend it."""
    from mlops_platform.cli.doctor import show_doctor

    raise typer.Exit(show_doctor(context.home(), as_json=as_json))


@app.command(epilog="Example: mlops check-module flight_delay    Exit code: 0 sound, 1 a check failed.")
def check_module(model: ModelName, as_json: Json = False) -> None:
    """Check a model's network without training it: shapes, gradients, NaN, batches, weights, one batch learnt."""
    from mlops_platform.cli.soundness import show_soundness

    raise typer.Exit(show_soundness(context.project(), context.home(), model, as_json=as_json))


@app.command(epilog="Example: mlops dev --port 3000 --mlflow-port 5000")
def dev(
    port: Annotated[int, typer.Option(help="Port of Dagster's UI.")] = 3000,
    mlflow_port: Annotated[int, typer.Option(help="Port of MLflow's UI.")] = 5000,
    answers_port: Annotated[int, typer.Option(help="Port of the live answers.")] = 8080,
) -> None:
    """Run Dagster's UI and daemon, MLflow's UI and the live answers, on this home until Ctrl-C."""
    from mlops_platform.cli.dev import serve

    live = answers_port if context.project().models else None
    raise typer.Exit(serve(context.home(), port, mlflow_port, live))


serving.register(app)
