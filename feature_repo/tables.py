"""Where the feature tables are, and how each becomes a source."""

import os

from feast import FileSource
from feast.data_format import DeltaFormat

ROOT = f"{os.environ['MLOPS_HOME']}/{os.environ['MLOPS_ENV']}/tables/flights/features"


def feature_table(name: str) -> FileSource:
    """The Delta table that the platform computes; Feast's created timestamp is our known timestamp."""
    return FileSource(
        path=f"{ROOT}/{name}",
        file_format=DeltaFormat(),
        timestamp_field="event_timestamp",
        created_timestamp_column="known_timestamp",
    )
