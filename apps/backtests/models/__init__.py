"""What is kept of backtests."""

from apps.backtests.models.evidence import Evidence
from apps.backtests.models.runs import Run
from apps.backtests.models.studies import Dataset, DatasetPart, Study, Trial

__all__ = ["Dataset", "DatasetPart", "Evidence", "Run", "Study", "Trial"]
