"""Sources, writes and saved datasets on an object store: S3, served by moto on this machine."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable
from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.credentials import ConnectionRef, CredentialProvider, register_credential_provider
from feast.data_format import DeltaFormat, ParquetFormat
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_logging import LoggingConfig
from feast.infra.offline_stores.file_source import FileLoggingDestination, SavedDatasetFileStorage
from feast.types import Int64
from moto.server import ThreadedMotoServer
from pyarrow.fs import S3FileSystem

from mlops_platform.point_in_time import PointInTimeError
from mlops_platform.point_in_time.feast_sources import storage_options
from mlops_platform.point_in_time.feast_store import PolarsOfflineStore

T = datetime(2024, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
ROWS = pl.DataFrame({"driver_id": [1, 2], "event": [T - HOUR, T - HOUR], "trips": [10, 20]})
LATER = pl.DataFrame({"driver_id": [1], "event": [T], "trips": [11]})
DRIVER = Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)
Make = Callable[..., Any]


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """An S3 server with a bucket `lake`."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "testing")
        patch.setenv("AWS_REGION", "us-east-1")
        patch.delenv("AWS_PROFILE", raising=False)
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        url = "http://{}:{}".format(*server.get_host_and_port())
        S3FileSystem(endpoint_override=url, allow_bucket_creation=True).create_dir("lake")
        yield url
        server.stop()


@pytest.fixture
def files(endpoint: str) -> S3FileSystem:
    return S3FileSystem(endpoint_override=endpoint)


@pytest.fixture
def options(endpoint: str) -> dict[str, str]:
    return {"aws_endpoint_url": endpoint, "aws_allow_http": "true"}


@pytest.fixture
def root(request: pytest.FixtureRequest) -> str:
    """A folder of the bucket for one test alone."""
    return "s3://lake/" + "".join(letter if letter.isalnum() else "_" for letter in request.node.name)


@pytest.fixture
def view(root: str, endpoint: str, options: dict[str, str]) -> Callable[[str], FeatureView]:
    """Makes a view over the rows, stored as a file, a folder, a partitioned folder or a Delta table."""

    def make(kind: str) -> FeatureView:
        path = f"{root}/rows.parquet" if kind == "file" else f"{root}/{kind}"
        if kind == "delta":
            ROWS.write_delta(path, storage_options=options)
        elif kind == "hive":
            for key in (1, 2):
                rows = ROWS.filter(pl.col("driver_id") == key).drop("driver_id")
                rows.write_parquet(f"{path}/driver_id={key}/0.parquet", storage_options=options)
        elif kind != "nothing":
            ROWS.write_parquet(path if kind == "file" else f"{path}/0.parquet", storage_options=options)
        source = FileSource(
            name="remote", path=path, timestamp_field="event", s3_endpoint_override=endpoint,
            file_format=DeltaFormat() if kind == "delta" else ParquetFormat(),
        )  # fmt: skip
        schema = [Field(name="driver_id", dtype=Int64), Field(name="trips", dtype=Int64)]
        return FeatureView(name="stats", source=source, schema=schema, entities=[DRIVER], ttl=None)

    return make


def trips(ask: Make, store: Any, *keys: int) -> list[Any]:
    asked = pl.DataFrame({"driver_id": list(keys), "event_timestamp": [T] * len(keys)})
    found: list[Any] = ask(store, asked, features=["stats:trips"]).to_polars()["trips"].to_list()
    return found


@pytest.mark.parametrize("kind", ["file", "folder", "hive", "delta"])
def test_retrieve_append_and_pull(open_store: Make, ask: Make, view: Make, kind: str) -> None:
    store = open_store(stats := view(kind))
    assert trips(ask, store, 1, 2, 3) == [10, 20, None]
    names = [name for name, _ in PolarsOfflineStore().get_table_column_names_and_types_from_data_source(
        store.config, stats.batch_source
    )]  # fmt: skip
    rows = LATER.select(names).to_arrow(compat_level=pl.CompatLevel.oldest())
    PolarsOfflineStore.offline_write_batch(store.config, stats, rows, None)
    assert trips(ask, store, 1, 2) == [11, 20]
    pulled = PolarsOfflineStore.pull_all_from_table_or_query(
        store.config, stats.batch_source, ["driver_id"], ["trips"], "event", None, T - HOUR, T
    )
    assert sorted(pulled.to_polars()["trips"]) == [10, 11, 20]
    assert PolarsOfflineStore.get_monitoring_max_timestamp(store.config, stats.batch_source, "event") == T
    PolarsOfflineStore().validate_data_source(store.config, stats.batch_source)


def test_append_adds_a_file_to_each_partition(open_store: Make, view: Make, root: str, files: S3FileSystem) -> None:
    store = open_store(stats := view("hive"))
    more = pl.concat([LATER, LATER.with_columns(driver_id=pl.lit(7, pl.Int64))]).select("event", "trips", "driver_id")
    before = files.get_file_info(f"{root[5:]}/hive/driver_id=1/0.parquet").mtime
    PolarsOfflineStore.offline_write_batch(store.config, stats, more.to_arrow(), None)
    dataset = pq.ParquetDataset(f"{root[5:]}/hive", filesystem=files)
    assert [file.split("/")[-2] for file in sorted(dataset.files)] == [
        "driver_id=1", "driver_id=1", "driver_id=2", "driver_id=7",
    ]  # fmt: skip
    assert files.get_file_info(f"{root[5:]}/hive/driver_id=1/0.parquet").mtime == before


def test_delta_version_pin(open_store: Make, ask: Make, view: Make, root: str, options: dict[str, str]) -> None:
    store = open_store(stats := view("delta"))
    PolarsOfflineStore.offline_write_batch(store.config, stats, LATER.to_arrow(), None)
    DeltaTable(f"{root}/delta", storage_options=options).delete("driver_id = 2")
    assert trips(ask, store, 1, 2) == [11, None]
    assert trips(ask, open_store(table_versions={f"{root}/delta": 0}), 1, 2) == [10, 20]
    assert trips(ask, open_store(table_versions={f"{root}/delta": 1}), 1, 2) == [11, 20]


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("nothing", "view 'stats': the folder s3://lake/.* holds no .parquet file"),
        ("delta", r"is a Delta table, but its source says Parquet. Say file_format=DeltaFormat\(\)"),
    ],
)
def test_what_is_not_there_says_so(open_store: Make, ask: Make, view: Make, kind: str, text: str) -> None:
    stats = view(kind)
    stats.batch_source.file_options.file_format = ParquetFormat()
    with pytest.raises(PointInTimeError, match=text):
        trips(ask, open_store(stats), 1)


@pytest.mark.parametrize("path", ["saved.parquet", "saved", "saved_delta"])
def test_saved_dataset(open_store: Make, ask: Make, view: Make, root: str, endpoint: str, path: str) -> None:
    store = open_store(view("file"))
    kind = DeltaFormat() if path.endswith("delta") else ParquetFormat()
    storage = SavedDatasetFileStorage(f"{root}/{path}", kind, s3_endpoint_override=endpoint)
    asked = pl.DataFrame({"driver_id": [2, 1], "event_timestamp": [T, T]})
    with pytest.warns(RuntimeWarning, match="experimental"):
        store.create_saved_dataset(ask(store, asked, features=["stats:trips"]), "kept", storage)
        assert list(store.get_saved_dataset("kept").to_df()["trips"]) == [20, 10]
        with pytest.raises(SavedDatasetLocationAlreadyExists):
            ask(store, asked, features=["stats:trips"]).persist(storage)
        ask(store, asked[:1], features=["stats:trips"]).persist(storage, allow_overwrite=True)
        assert list(store.get_saved_dataset("kept").to_df()["trips"]) == [20]


def test_export_and_log(open_store: Make, ask: Make, view: Make, root: str, endpoint: str, files: S3FileSystem) -> None:
    destination = FileLoggingDestination(path=f"{root}/logs", s3_endpoint_override=endpoint, partition_by=["driver_id"])
    stats = view("file")
    service = FeatureService(name="svc", features=[stats], logging_config=LoggingConfig(destination))
    staging = {"staging_location": f"{root}/staging", "staging_location_endpoint_override": endpoint}
    store = open_store(stats, service, **staging)
    asked = pl.DataFrame({"driver_id": [2, 1], "event_timestamp": [T, T]})
    (uri,) = ask(store, asked, features=["stats:trips"]).to_remote_storage()
    assert uri.startswith(f"{root}/staging/")
    assert pq.read_table(uri.removeprefix("s3://"), filesystem=files)["trips"].to_pylist() == [20, 10]
    logs = ROWS.rename({"event": "__log_timestamp"}).to_arrow(compat_level=pl.CompatLevel.oldest())
    store.write_logged_features(logs, service)
    kept = PolarsOfflineStore.pull_all_from_table_or_query(
        store.config, destination.to_data_source(), [], ["trips", "driver_id"], "__log_timestamp"
    )
    assert kept.to_polars().select("driver_id", "trips").sort("driver_id").rows() == [(1, 10), (2, 20)]


class Vault(CredentialProvider):
    """A place for credentials, as Feast's connection references name one."""

    def provider_type(self) -> str:
        return "test-vault"

    def resolve(self, ref: ConnectionRef) -> dict[str, str]:
        return {"AWS_ACCESS_KEY_ID": f"key of {ref.name}", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "eu-west-1"}


def test_credentials_of_the_source_are_used(
    open_store: Make, ask: Make, view: Make, endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    register_credential_provider(Vault())
    stats = view("hive")
    stats.batch_source.connection_ref = ConnectionRef(provider="test-vault", name="lake")
    assert storage_options(stats.batch_source) == {
        "aws_access_key_id": "key of lake", "aws_secret_access_key": "secret", "aws_region": "eu-west-1",
        "aws_endpoint_url": endpoint, "aws_allow_http": "true",
    }  # fmt: skip
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION"):
        monkeypatch.delenv(name)
    assert trips(ask, open_store(stats), 1, 2) == [10, 20]
