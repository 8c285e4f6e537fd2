"""How far raters agree, and who of them is reliable."""

from crowdqc import make_callable
from crowdqc.agreement.alpha import krippendorff_alpha
from crowdqc.agreement.assess import Assessment, assess_raters
from crowdqc.agreement.gold import gold_scores
from crowdqc.agreement.icc import icc
from crowdqc.agreement.kappa import cohen_kappa, fleiss_kappa, gwet_ac1
from crowdqc.agreement.measures import measure_agreement
from crowdqc.agreement.raters import Review, review_raters, score_raters
from crowdqc.agreement.resample import Estimate, Resampling, bootstrap

__all__ = [
    "Assessment",
    "Estimate",
    "Resampling",
    "Review",
    "assess_raters",
    "bootstrap",
    "cohen_kappa",
    "fleiss_kappa",
    "gold_scores",
    "gwet_ac1",
    "icc",
    "krippendorff_alpha",
    "measure_agreement",
    "review_raters",
    "score_raters",
]

make_callable(__name__, measure_agreement)
