"""The command line: parse, call, print. Nothing heavy is imported before a command needs it."""

import os

import typer

from benchmarks import (
    commands_corpora,
    commands_regress,
    commands_results,
    commands_run,
    commands_speed,
    commands_tune,
    console,
    interrupts,
    litter,
)

app = typer.Typer(
    name="python -m benchmarks",
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Published audio-visual emotion-recognition methods under the same, subject-independent rules.",
)
for part in (commands_run, commands_tune, commands_regress, commands_results, commands_corpora, commands_speed):
    app.add_typer(part.commands)
WAITING = {"GOMP_SPINCOUNT": "10000", "KMP_BLOCKTIME": "1"}  # how often, or for how many milliseconds, threads look for
# work before they sleep: for longer they halve a shared machine, without it a GRU takes five times as long
INTERRUPTED = 130  # as shells count: 128 and the number of the signal


def main() -> int:
    """Exit code 0: done; 1: the answer is no; 2: the request cannot be carried out, with one line that says why.

    130: interrupted by Ctrl-C, 143: asked to end.
    """
    from typer._click.exceptions import ClickException

    from datasets.clips import UserError

    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.update({name: value for name, value in WAITING.items() if name not in os.environ})
    try:
        with interrupts.heeded():
            code: int = app(standalone_mode=False) or 0
        if code == INTERRUPTED:  # Typer's answer to Ctrl-C, given without a word
            console.fail(interrupts.told)
            return 128 + interrupts.number
        return code
    except ClickException as error:
        console.fail(" ".join(error.format_message().split()))
    except UserError as error:
        console.fail(error)
    except OSError as error:
        from benchmarks.files import explained

        if (told := explained(error)) is error:
            raise
        console.fail(told)
    return 2


if __name__ == "__main__":
    litter.process(main)
