"""What can be tuned about recall. Defaults come from theory or from the use, never from test data.

Every section refuses unknown keys. As environment variables the fields read
`RECLAKE_RECALL__COOCCURRENCE__HALF_LIFE_DAYS=30`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import model_validator

from jobs.recall.settings.channels import (
    ItemHistorySettings,
    NewcomerSettings,
    ProductNamesSettings,
    Q2ISettings,
    RepurchaseSettings,
    SimilarUsersSettings,
    VectorSettings,
)
from jobs.recall.settings.fields import Section
from jobs.recall.settings.fusion import I2ISettings, PairReasonsSettings, UserRecallSettings
from jobs.recall.settings.lists import (
    BundleSettings,
    NewSettings,
    PopularSettings,
    SeasonalSettings,
    TrendingSettings,
)
from jobs.recall.settings.methods import (
    AugmentedSettings,
    ContentSettings,
    CooccurrenceSettings,
    SessionSettings,
    SlimSettings,
    SwingSettings,
    TransitionSettings,
)


class RecallSettings(Section):
    """All of recall, a section a source, list or fusion."""

    cooccurrence: CooccurrenceSettings = CooccurrenceSettings()
    session: SessionSettings = SessionSettings()
    slim: SlimSettings = SlimSettings()
    swing: SwingSettings = SwingSettings()
    transition: TransitionSettings = TransitionSettings()
    content: ContentSettings = ContentSettings()
    augmented: AugmentedSettings = AugmentedSettings()
    i2i: I2ISettings = I2ISettings()
    pair_reasons: PairReasonsSettings = PairReasonsSettings()
    item_history: ItemHistorySettings = ItemHistorySettings()
    similar_users: SimilarUsersSettings = SimilarUsersSettings()
    repurchase: RepurchaseSettings = RepurchaseSettings()
    vector: VectorSettings = VectorSettings()
    popular: PopularSettings = PopularSettings()
    trending: TrendingSettings = TrendingSettings()
    new: NewSettings = NewSettings()
    seasonal: SeasonalSettings = SeasonalSettings()
    newcomer: NewcomerSettings = NewcomerSettings()
    q2i: Q2ISettings = Q2ISettings()
    product_names: ProductNamesSettings = ProductNamesSettings()
    user: UserRecallSettings = UserRecallSettings()
    bundles: BundleSettings = BundleSettings()

    @model_validator(mode="after")
    def _popular_fills_a_list(self) -> Self:
        if self.popular.items < self.user.items:
            raise ValueError(
                f"popular.items: {self.popular.items} cannot fill lists of {self.user.items} "
                "(user.items); raise the first or lower the second"
            )
        return self

    def with_changes(self, changes: Mapping[str, Mapping[str, Any]]) -> Self:
        """The settings with some fields of some sections changed, validated again."""
        values = self.model_dump()
        for section, fields in changes.items():
            values[section] |= fields
        return self.model_validate(values)
