"""The contract of an online store of Feast: what goes in comes out, the newest of it, under its key and for its view.

In a test of your own store:

    import pytest
    from mlops_platform_tests.contracts.online_stores import OnlineCase, Store, online_cases

    MINE = Store(name="mine", settings={"type": "my_team.stores.MyOnlineStore"}, keeps="event and created")

    @pytest.mark.parametrize("case", online_cases(MINE), ids=str)
    def test_my_store_keeps_the_contract(case: OnlineCase, tmp_path: Path) -> None:
        case.require(tmp_path)

In what Feast's own stores differ from each other, a ``Store`` says which way it goes, and is held to that.
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal
from uuid import uuid4

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast import types as ft
from feast.infra.online_stores.helpers import get_online_store_from_config
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.protos.feast.types import Value_pb2 as pb
from feast.protos.feast.types.EntityKey_pb2 import EntityKey

Value = pb.Value
NOW = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KINDS: dict[str, tuple[Any, list[Any]]] = {
    "int32": (ft.Int32, [Value(int32_val=-(2**31)), Value(int32_val=0)]),
    "int64": (ft.Int64, [Value(int64_val=2**63 - 1), Value(int64_val=-(2**63))]),
    "float32": (ft.Float32, [Value(float_val=0.1), Value(float_val=float("-inf"))]),
    "float64": (ft.Float64, [Value(double_val=1e308), Value(double_val=0.0)]),
    "bool": (ft.Bool, [Value(bool_val=False), Value(bool_val=True)]),
    "string": (ft.String, [Value(string_val="Zürich 東京"), Value(string_val="")]),
    "bytes": (ft.Bytes, [Value(bytes_val=b"\x00\xff"), Value(bytes_val=b"")]),
    "image": (ft.ImageBytes, [Value(bytes_val=b"\x89PNG"), Value(bytes_val=b"")]),
    "timestamp": (ft.UnixTimestamp, [Value(unix_timestamp_val=1_700_000_000), Value(unix_timestamp_val=-1)]),
    "int32s": (ft.Array(ft.Int32), [Value(int32_list_val=pb.Int32List(val=[1, -1])), Value(int32_list_val={})]),
    "int64s": (ft.Array(ft.Int64), [Value(int64_list_val=pb.Int64List(val=[2**40])), Value(int64_list_val={})]),
    "float32s": (ft.Array(ft.Float32), [Value(float_list_val=pb.FloatList(val=[0.5])), Value(float_list_val={})]),
    "float64s": (ft.Array(ft.Float64), [Value(double_list_val=pb.DoubleList(val=[0.1])), Value(double_list_val={})]),
    "bools": (ft.Array(ft.Bool), [Value(bool_list_val=pb.BoolList(val=[True, False])), Value(bool_list_val={})]),
    "strings": (ft.Array(ft.String), [Value(string_list_val=pb.StringList(val=["", "ü"])), Value(string_list_val={})]),
    "lumps": (ft.Array(ft.Bytes), [Value(bytes_list_val=pb.BytesList(val=[b"", b"1"])), Value(bytes_list_val={})]),
    "moments": (ft.Array(ft.UnixTimestamp), [Value(unix_timestamp_list_val=pb.Int64List(val=[0, 1])),
                                             Value(unix_timestamp_list_val={})]),
    "a set": (ft.Set(ft.String), [Value(string_set_val=pb.StringSet(val=["a"])), Value(string_set_val={})]),
    "map": (ft.Map, [Value(map_val=pb.Map(val={"a": Value(int64_val=1)})), Value(map_val={})]),
    "json": (ft.Json, [Value(json_val='{"a": [1]}'), Value(json_val="null")]),
    "uuid": (ft.Uuid, [Value(uuid_val="6fa459ea-ee8a-11e3-ac10-0800200c9a66"), Value(uuid_val="")]),
    "decimal": (ft.Decimal, [Value(decimal_val="1.10"), Value(decimal_val="-0")]),
}  # fmt: skip
"""Every kind of value, by the name of its field: declared type, and two values of it."""
KEYS = {"string_val": (ValueType.STRING, ["a", "", "東"]), "int64_val": (ValueType.INT64, [1, -(2**63), 2**40]),
        "int32_val": (ValueType.INT32, [1, -1, 2**31 - 1]), "bytes_val": (ValueType.BYTES, [b"a", b"", b"\xff"]),
        "unix_timestamp_val": (ValueType.UNIX_TIMESTAMP, [0, -1, 1_700_000_000])}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Store:
    """A store, and which way it goes where stores differ.

    Attributes:
        name: Of its tests.
        settings: ``online_store`` of ``feature_store.yaml``; ``{folder}`` stands for the test's own.
        keeps: Of rows of one key, the one written last, of the newest event, or of the newest (event, created).
        enforces_ttl: Whether ``get_online_features`` withholds a row older than its view's ttl.
        tells_missing: Whether an entity without a row is NOT_FOUND; else it is PRESENT, its values empty, its event
            timestamp the epoch's.
        microseconds: Whether event timestamps come back whole.
        asynchronous: Whether reads and writes have an asynchronous form.
    """

    name: str
    settings: Mapping[str, Any] = field(hash=False)
    keeps: Literal["last", "event", "event and created"] = "last"
    enforces_ttl: bool = False
    tells_missing: bool = True
    microseconds: bool = False
    asynchronous: bool = False


@dataclass(frozen=True)
class OnlineCase:
    """One clause of the contract for one store."""

    store: Store
    clause: str

    def __str__(self) -> str:
        return f"{self.store.name}-{self.clause}"

    def require(self, folder: Path) -> None:
        """Holds the store to the clause; ``folder`` is empty, and the Feast project one that no other has."""
        world = World.open(self.store, folder)
        try:
            CLAUSES[self.clause](world)
        finally:
            world.online.teardown(world.config, world.views, [])


def online_cases(*stores: Store) -> list[OnlineCase]:
    """A case for every store and clause."""
    return [OnlineCase(store, clause) for store in stores for clause in CLAUSES]


@dataclass
class World:
    """A Feast repository with the store in it."""

    store: Store
    config: RepoConfig
    online: Any
    folder: Path
    views: list[FeatureView]

    @classmethod
    def open(cls, store: Store, folder: Path) -> "World":
        settings = {k: v.format(folder=folder) if isinstance(v, str) else v for k, v in store.settings.items()}
        config = RepoConfig(
            project=f"p{uuid4().hex[:12]}", provider="local", registry=str(folder / "registry.db"),
            repo_path=folder,
            online_store=settings, entity_key_serialization_version=3, offline_store={"type": "dask"},
        )  # fmt: skip
        return cls(store, config, get_online_store_from_config(config.online_store), folder, [])

    def view(
        self, name: str = "stats", /, *, ttl: timedelta | None = None, keyed: bool = True, **types: Any
    ) -> FeatureView:
        """A view of drivers, made room for in the store."""
        source = FileSource(name=f"{name}_source", path=str(self.folder / f"{name}.parquet"), timestamp_field="event",
                            created_timestamp_column="created")  # fmt: skip
        fields = [Field(name=field, dtype=dtype) for field, dtype in (types or {"trips": ft.Int64}).items()]
        keys = [Field(name="driver_id", dtype=ft.Int64)] if keyed else []
        view = FeatureView(
            name=name, entities=[driver()] if keyed else [], ttl=ttl, schema=[*keys, *fields], source=source
        )
        self.views.append(view)
        self.update([view])
        return view

    def update(self, keep: list[FeatureView], drop: list[FeatureView] | None = None) -> None:
        self.online.update(self.config, drop or [], keep, [], [], False)

    def write(self, view: FeatureView, *rows: tuple[int, Any, datetime, datetime | None]) -> None:
        """Writes rows of (driver, trips or a dict of values, event, created)."""
        data = []
        for driver, said, event, created in rows:
            values = said if isinstance(said, dict) else {"trips": Value(int64_val=said)}
            data.append((key_of(driver), values, event, created))
        self.online.online_write_batch(self.config, view, data, None)

    def read(self, view: FeatureView, *drivers: int, features: list[str] | None = None) -> list[Any]:
        # Some stores add to the list that they are given.
        asked = None if features is None else list(features)
        return self.online.online_read(self.config, view, [key_of(d) for d in drivers], asked)

    def trips(self, view: FeatureView, *drivers: int) -> list[int | None]:
        found = [values and values["trips"] for _, values in self.read(view, *drivers)]
        return [value.int64_val if value and value.WhichOneof("val") else None for value in found]

    def feast(self, *views: FeatureView) -> FeatureStore:
        """Feast over the store, the views applied."""
        store = FeatureStore(config=self.config)
        store.apply([driver(), *views])
        return store


def driver() -> Entity:
    """The entity of the views."""
    return Entity(name="driver", join_keys=["driver_id"], value_type=ValueType.INT64)


def key_of(driver: int) -> EntityKey:
    """A driver's key."""
    return EntityKey(join_keys=["driver_id"], entity_values=[Value(int64_val=driver)])


def every_kind_of_value_comes_back(world: World) -> None:
    view = world.view(**{name: kind for name, (kind, _) in KINDS.items()})
    for place in (0, 1):
        world.write(view, (place, {name: values[place] for name, (_, values) in KINDS.items()}, NOW, None))
    world.write(view, (2, {name: Value() for name in KINDS}, NOW, NOW))
    for place, (_, values) in enumerate(world.read(view, 0, 1, features=list(KINDS))):
        assert values == {name: kept[place] for name, (_, kept) in KINDS.items()}
    ((_, empty),) = world.read(view, 2, features=list(KINDS))
    assert [name for name, value in empty.items() if value.WhichOneof("val") is not None] == []
    world.write(view, (3, {"float32": Value(float_val=float("nan"))}, NOW, None))
    ((_, some),) = world.read(view, 3, features=["float32"])
    assert str(some["float32"].float_val) == "nan"


def answers_come_in_the_order_asked(world: World) -> None:
    view = world.view()
    world.write(view, *((driver, driver * 10, NOW, None) for driver in range(40)))
    assert world.trips(view, 7, 99, 3, 39, -1, 0) == [70, None, 30, 390, None, 0]
    ((event, values),) = world.read(view, 99)
    assert event in (None, EPOCH)
    assert (values is None) == world.store.tells_missing
    assert world.trips(view, *range(39, -1, -1)) == [driver * 10 for driver in range(39, -1, -1)]


def only_some_features_may_be_asked(world: World) -> None:
    view = world.view(trips=ft.Int64, name=ft.String, rate=ft.Float32)
    told = {"trips": Value(int64_val=4), "name": Value(string_val="x"), "rate": Value(float_val=0.5)}
    world.write(view, (1, told, NOW, None))
    for asked in (["name"], ["rate", "trips"], None):
        ((_, values),) = world.read(view, 1, features=asked)
        assert {name: values[name] for name in asked or told} == {name: told[name] for name in asked or told}


def the_row_that_the_store_says_is_kept(world: World) -> None:
    view = world.view()
    world.write(view, (1, 10, NOW, NOW), (2, 10, NOW, NOW), (3, 10, NOW, NOW), (4, 10, NOW, None))
    world.write(view, (1, 20, NOW + HOUR, NOW), (2, 20, NOW - HOUR, NOW + HOUR), (3, 20, NOW, NOW - HOUR),
                (4, 20, NOW + HOUR, None))  # fmt: skip
    older, created_before = {"last": (20, 20), "event": (10, 10), "event and created": (10, 10)}[world.store.keeps]
    assert world.trips(view, 1, 2, 3, 4) == [20, older, created_before, 20]


def rows_written_again_change_nothing_or_everything(world: World) -> None:
    """A feature computed anew has the timestamps it had, so of equals the last one is wanted."""
    view = world.view()
    world.write(view, (1, 10, NOW, NOW))
    world.write(view, (1, 11, NOW, NOW))
    assert world.trips(view, 1) == [10 if world.store.keeps == "event" else 11]


def timestamps_are_in_utc(world: World) -> None:
    view = world.view()
    moment = NOW + timedelta(microseconds=123_456)
    east = timezone(timedelta(hours=5))
    world.write(view, (1, 1, moment, None), (2, 2, moment.replace(tzinfo=None), moment.replace(tzinfo=None)),
                (3, 3, moment.astimezone(east), None))  # fmt: skip
    wanted = moment if world.store.microseconds else NOW
    found = [event for event, _ in world.read(view, 1, 2, 3)]
    assert [event.replace(tzinfo=UTC) if event.tzinfo is None else event for event in found] == [wanted] * 3


def views_are_apart(world: World) -> None:
    one, other = world.view("one"), world.view("other")
    world.write(one, (1, 1, NOW, None))
    world.write(other, (1, 2, NOW, None), (2, 3, NOW, None))
    assert (world.trips(one, 1, 2), world.trips(other, 1, 2)) == ([1, None], [2, 3])


def a_view_that_is_no_more_is_forgotten(world: World) -> None:
    one, other = world.view("one"), world.view("other")
    for view in (one, other):
        world.write(view, (1, 1, NOW, None))
    world.update([other], [one])
    world.update([one, other])
    assert (world.trips(one, 1), world.trips(other, 1)) == ([None], [1])


def a_store_that_was_torn_down_is_empty(world: World) -> None:
    view = world.view()
    world.write(view, (1, 1, NOW, None))
    world.online.teardown(world.config, [view], [])
    again = get_online_store_from_config(world.config.online_store)
    again.update(world.config, [], [view], [], [], False)
    assert again.online_read(world.config, view, [key_of(1)])[0][0] in (None, EPOCH)
    again.teardown(world.config, [view], [])
    world.update([view])


def keys_of_every_type_are_apart(world: World) -> None:
    view = world.view()
    keys = [EntityKey(join_keys=["driver_id"], entity_values=[Value(**{name: value})])
            for name, (_, values) in KEYS.items() for value in values]  # fmt: skip
    two = [EntityKey(join_keys=["b", "a"], entity_values=[Value(int64_val=n), Value(string_val=s)])
           for n in (1, 2) for s in ("x", "y")]  # fmt: skip
    swapped = [EntityKey(join_keys=["a", "b"], entity_values=list(reversed(key.entity_values))) for key in two]
    rows = [(key, {"trips": Value(int64_val=at)}, NOW, None) for at, key in enumerate([*keys, *two])]
    world.online.online_write_batch(world.config, view, rows, None)
    found = world.online.online_read(world.config, view, [*keys, *swapped])
    assert [values["trips"].int64_val for _, values in found] == list(range(len(rows)))


def progress_is_told(world: World) -> None:
    view = world.view()
    told: list[int] = []
    data = [(key_of(driver), {"trips": Value(int64_val=1)}, NOW, None) for driver in range(5)]
    world.online.online_write_batch(world.config, view, data, told.append)
    assert sum(told) == 5


def feast_answers_from_it(world: World) -> None:
    view = world.view(trips=ft.Int64, name=ft.String)
    store = world.feast(view)
    world.write(view, (1, {"trips": Value(int64_val=5), "name": Value()}, NOW, NOW))
    rows = [{"driver_id": driver} for driver in (1, 2, 1)]
    answer = store.get_online_features(["stats:trips", "stats:name"], rows, full_feature_names=True)
    assert answer.to_dict() == {"driver_id": [1, 2, 1], "stats__trips": [5, None, 5], "stats__name": [None] * 3}
    by_name = dict(zip(answer.proto.metadata.feature_names.val, answer.proto.results, strict=True))
    seen = FieldStatus.PRESENT
    nobody = FieldStatus.NOT_FOUND if world.store.tells_missing else seen
    assert list(by_name["stats__trips"].statuses) == [seen, nobody, seen]
    assert [t.ToDatetime(UTC) for t in by_name["stats__trips"].event_timestamps][::2] == [NOW, NOW]


def age_is_judged_as_the_store_says(world: World) -> None:
    """Feast's own stores answer a row however old it is: https://github.com/feast-dev/feast/issues/4133."""
    view, endless = world.view(ttl=2 * HOUR), world.view("endless", ttl=timedelta(0))
    store = world.feast(view, endless)
    for each in (view, endless):
        world.write(each, (1, 1, NOW - HOUR, None), (2, 2, NOW - 3 * HOUR, None))
    rows = [{"driver_id": driver} for driver in (1, 2, 3)]
    answer = store.get_online_features(["stats:trips", "endless:trips"], rows, full_feature_names=True)
    old = None if world.store.enforces_ttl else 2
    assert answer.to_dict() == {"driver_id": [1, 2, 3], "stats__trips": [1, old, None], "endless__trips": [1, 2, None]}
    by_name = dict(zip(answer.proto.metadata.feature_names.val, answer.proto.results, strict=True))
    said = {name: [FieldStatus.Name(status) for status in vector.statuses] for name, vector in by_name.items()}
    aged = "OUTSIDE_MAX_AGE" if world.store.enforces_ttl else "PRESENT"
    nobody = "NOT_FOUND" if world.store.tells_missing else "PRESENT"
    assert said["stats__trips"] == ["PRESENT", aged, nobody]
    assert said["endless__trips"] == ["PRESENT", "PRESENT", nobody]


def a_view_without_entities_has_one_row(world: World) -> None:
    view = world.view("all", keyed=False)
    store = world.feast(view)
    frame = pd.DataFrame({"trips": [2, 3], "event": [NOW - HOUR, NOW], "created": [NOW] * 2})
    frame.to_parquet(world.folder / "all.parquet")
    store.materialize(NOW - 5 * HOUR, NOW)
    assert store.get_online_features(["all:trips"], [{"__dummy_id": ""}]).to_dict()["trips"] == [3]


def it_is_read_without_blocking_where_it_says_so(world: World) -> None:
    view = world.view(ttl=2 * HOUR)
    store = world.feast(view)
    said = world.online.async_supported
    assert (said.read, said.write) == (world.store.asynchronous,) * 2
    data = [(key_of(1), {"trips": Value(int64_val=1)}, NOW - 3 * HOUR, None),
            (key_of(2), {"trips": Value(int64_val=2)}, NOW, None)]  # fmt: skip

    async def both() -> list[Any]:
        online = get_online_store_from_config(world.config.online_store)
        await online.online_write_batch_async(world.config, view, data, None)
        rows = [{"driver_id": 1}, {"driver_id": 2}]
        answer = await store.get_online_features_async(["stats:trips"], rows)
        await store.close()
        await online.close()
        return answer.to_dict()["trips"]

    if world.store.asynchronous:
        assert asyncio.run(both()) == [None if world.store.enforces_ttl else 1, 2]
    else:
        try:
            asyncio.run(both())
        except NotImplementedError:
            return
        raise AssertionError(f"{world.store.name} says that it has no asynchronous form, and has one")


def feast_materializes_into_it(world: World) -> None:
    view = world.view(trips=ft.Int64, name=ft.String, rate=ft.Float32)
    frame = pd.DataFrame(
        {
            "driver_id": [1, 1, 2, 3], "trips": [1, 2, 3, None], "name": ["a", "b", "", None],
            "rate": [0.5, 1.5, None, 2.5], "event": [NOW - 2 * HOUR, NOW - HOUR, NOW - HOUR, NOW - HOUR],
            "created": [NOW] * 4,
        }
    ).astype({"trips": "Int64", "rate": "float32"})  # fmt: skip
    frame.to_parquet(world.folder / "stats.parquet")
    store = world.feast(view)
    store.materialize(NOW - 5 * HOUR, NOW)
    answer = store.get_online_features(["stats:trips", "stats:name", "stats:rate"], {"driver_id": [3, 1, 2]}).to_dict()
    assert answer["trips"] == [None, 2, 3]
    assert answer["name"] == [None, "b", ""]
    assert answer["rate"][:2] == [2.5, 1.5]


CLAUSES: dict[str, Callable[[World], None]] = {
    clause.__name__.replace("_", " "): clause
    for clause in (
        every_kind_of_value_comes_back, answers_come_in_the_order_asked, only_some_features_may_be_asked,
        the_row_that_the_store_says_is_kept, rows_written_again_change_nothing_or_everything, timestamps_are_in_utc,
        views_are_apart, a_view_that_is_no_more_is_forgotten, a_store_that_was_torn_down_is_empty,
        keys_of_every_type_are_apart, progress_is_told, feast_answers_from_it, age_is_judged_as_the_store_says,
        a_view_without_entities_has_one_row, it_is_read_without_blocking_where_it_says_so, feast_materializes_into_it,
    )
}  # fmt: skip
