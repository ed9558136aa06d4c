"""``mlops check-module``: whether a declared network is worth its training, known before it starts."""

from dataclasses import asdict

from rich.text import Text

from mlops_platform.cli.context import EXIT_FAILED, console, emit
from mlops_platform.manifest import short
from mlops_platform.resources.home import Home
from mlops_platform.resources.refs import Refs
from mlops_platform.spec import Project
from mlops_platform.training.job import TRAIN


def show_soundness(project: Project, home: Home, name: str, *, as_json: bool) -> int:
    """Prints one line a check; 1 where one fails.

    Args:
        project: That declares the model.
        home: Where its dataset may lie; else the network is asked made-up rows.
        name: Of the model.
        as_json: Whether to print JSON.
    """
    model = project.model(name)
    dataset = Refs(home).find(f"{project.name}/{model.name}/dataset")
    # Torch costs two seconds, which a mistyped name does without.
    from mlops_platform.training.program.declared import examined

    found = examined(project, model, train=dataset.file(TRAIN) if dataset else None)
    failed = [finding for finding in found if not finding.passed]
    asked = f"the first rows of dataset {short(dataset.manifest.digest)}" if dataset else "made-up rows"
    if as_json:
        emit({"module": model.network.module, "rows": asked, "findings": [asdict(finding) for finding in found]})
        return EXIT_FAILED if failed else 0
    shown = console()
    shown.print(f"{model.network.module}, asked {asked}", soft_wrap=True, markup=False)
    for finding in found:
        state = ("ok  ", "green") if finding.passed else ("fail", "bold red")
        line = Text.assemble(state, f"  {finding.name.replace('_', ' '):<31}  {finding.found}")
        shown.print(line, soft_wrap=True)
        if not finding.passed:
            shown.print(f"{'':6}required: {finding.required}", soft_wrap=True, markup=False)
            shown.print(f"{'':6}mend: {finding.remedy}", soft_wrap=True, markup=False)
    return EXIT_FAILED if failed else 0
