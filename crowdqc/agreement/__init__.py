"""How far raters agree, and who of them is reliable."""

from crowdqc.agreement.alpha import krippendorff_alpha
from crowdqc.agreement.resample import Resampling
from crowdqc.agreement.tables import Limits, measure_agreement, score_raters

__all__ = ["Limits", "Resampling", "krippendorff_alpha", "measure_agreement", "score_raters"]
