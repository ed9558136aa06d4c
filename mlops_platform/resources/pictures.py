"""Pictures of artifacts as Dagster's UI shows them, which takes no files."""

import base64

from mlops_platform.resources.artifacts import Artifact


def inline_picture(artifact: Artifact, file: str, told: str) -> str:
    """Markdown that holds a picture itself, so that it is seen wherever the event is.

    Args:
        artifact: Whose picture.
        file: Its PNG among the artifact's files.
        told: What stands in its place where pictures are not shown.
    """
    data = base64.b64encode(artifact.file(file).read_bytes()).decode()
    return f"![{told}](data:image/png;base64,{data})"
