"""From Feast's feature views and references to the engine's view frames."""

from collections.abc import Sequence

from feast.errors import RequestDataNotFoundInEntityDfException
from feast.feature_view import DUMMY_ENTITY_ID, FeatureView
from feast.infra.registry.base_registry import BaseRegistry
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.utils import _get_requested_feature_views_to_features_dict, _get_requested_on_demand_feature_views

from mlops_platform.point_in_time.errors import PointInTimeError
from mlops_platform.point_in_time.feast_sources import OpenedTable
from mlops_platform.point_in_time.feast_types import check_declared_types
from mlops_platform.point_in_time.view_frame import KnownTime, ViewFrame, schema_of


def requested_features(
    feature_refs: Sequence[str], feature_views: Sequence[FeatureView], registry: BaseRegistry, project: str
) -> list[tuple[FeatureView, list[str]]]:
    """Return each feature view with the features asked of it, in the order of the references.

    Raises:
        PointInTimeError: A view has no such feature.
        ValueError: A reference names no view (Feast's own check).
    """
    on_demand = _get_requested_on_demand_feature_views(list(feature_refs), project, registry)
    grouped, _ = _get_requested_feature_views_to_features_dict(list(feature_refs), list(feature_views), on_demand)
    requested = [(view, list(dict.fromkeys(features))) for view, features in grouped.items()]
    for view, features in requested:
        known = [feature.name for feature in view.features]
        unknown = [feature for feature in features if feature not in known]
        if unknown:
            raise PointInTimeError(
                f"view {view.projection.name_to_use()!r}: no feature {', '.join(map(repr, unknown))}; found "
                f"{', '.join(known)}. Correct the reference, or add the feature to the view and apply."
            )
    return requested


def on_demand_views(
    feature_refs: Sequence[str], registry: BaseRegistry, project: str, given: Sequence[str]
) -> list[OnDemandFeatureView]:
    """Return the on-demand views that the references name.

    Args:
        feature_refs: The references.
        registry: The registry.
        project: The project.
        given: The columns of the entity frame.

    Raises:
        RequestDataNotFoundInEntityDfException: A view needs request data that the entity frame does not have. Feast
            checks this too, but only for pandas frames.
    """
    views = OnDemandFeatureView.get_requested_odfvs(list(feature_refs), project, registry)
    for view in views:
        for name in view.get_request_data_schema():
            if name not in given:
                raise RequestDataNotFoundInEntityDfException(feature_name=name, feature_view_name=view.name)
    return views


def view_frame(
    view: FeatureView, features: Sequence[str], table: OpenedTable, *, full_feature_names: bool, known_time: KnownTime
) -> ViewFrame:
    """Return a feature view, with its field mapping and join-key mapping resolved, for the engine.

    Args:
        view: The view, with the projection under which it is asked for.
        features: Feature names asked for.
        table: Its opened batch source.
        full_feature_names: Whether output columns are `<view>__<feature>`.
        known_time: Whether known time is respected for this view.

    Raises:
        PointInTimeError: A column of the source has changed its type.
    """
    source = view.batch_source
    assert source is not None  # opening the source has checked it
    stored = {mapped: column for column, mapped in (source.field_mapping or {}).items()}
    name = view.projection.name_to_use()
    keys = {
        view.projection.join_key_map.get(column.name, column.name): stored.get(column.name, column.name)
        for column in view.entity_columns
        if column.name != DUMMY_ENTITY_ID
    }
    known = source.created_timestamp_column
    columns = [stored.get(feature, feature) for feature in features]
    check_declared_types(view, features, columns, schema_of(table.frame, where=f"view {view.name!r}"))
    return ViewFrame(
        name=name,
        frame=table.frame,
        keys=keys,
        features={
            column: f"{name}__{feature}" if full_feature_names else feature
            for column, feature in zip(columns, features, strict=True)
        },
        event_timestamp=stored.get(source.timestamp_field, source.timestamp_field),
        known_timestamp=stored.get(known, known) if known else None,
        ttl=view.ttl,
        known_time=known_time,
        unchanged=table.unchanged,
    )
