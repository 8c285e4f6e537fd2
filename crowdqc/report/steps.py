"""What to do next: the actions at the top of the report, with names and reasons."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from crowdqc.catalogue import STAGES
from crowdqc.findings import Finding, Reason, Severity, Where, check_info
from crowdqc.judge.text import message
from crowdqc.report.content import Step
from crowdqc.report.raters import reasons_of, verdict_of, verdicts
from crowdqc.report.results import Results
from crowdqc.report.text import listing, readable, reason_sentences
from crowdqc.text import capitalised, count

COPIED = "boxes-copied"
"""Check that finds one rater's boxes among another's."""
N_REASONS = 3
"""Reasons that are named in one step."""

_SECTIONS = {
    "check": "findings",
    "agree": "raters",
    "fuse": "fusion",
    "complete": "completeness",
    "gate": "gate",
}
"""Stage that every report needs -> section that shows it."""


def steps(results: Results) -> tuple[Step, ...]:
    """All things to do next: what was read first, then what blocks before what needs a review."""
    questions = (
        *(_raters, _copies, _conventions, _missing, _unread, _lists),
        *(_cases_left_out, _cases_to_see, _raters_to_review, _apart, _not_run),
    )
    found = [step for question in questions for step in question(results)]
    found.sort(key=lambda step: step.status != "reject")
    found = [*_faulty_input(results), *_doubtful_input(results), *found]
    return tuple(found) or (_go_on(results),)


def _faulty_input(results: Results) -> list[Step]:
    bad = [f for f in results.of("check") if f.severity is Severity.REJECT]
    if not bad:
        return []
    kinds = Counter(f.check for f in bad).most_common(3)
    why = listing([f"{readable(check)} ({n:,})" for check, n in kinds])
    return [
        Step(
            f"Correct {count(len(bad), 'fault')} in the annotation files",
            f"Found: {why}. The lines are left out until then.",
            "findings",
            "reject",
        )
    ]


def _raters(results: Results) -> list[Step]:
    decided = verdicts(results)
    failed = [name for name, (status, _) in decided.items() if status == "reject"]
    if not failed:
        return []
    reasons = [(name, _briefly(decided[name][1], Where(rater=name))) for name in failed]
    return [
        Step(
            f"Train {_people(failed)} again, or invite others",
            _joined_reasons(reasons) or "The rules of the policy reject them.",
            "raters",
            "reject",
        )
    ]


def _copies(results: Results) -> list[Step]:
    """Raters whose boxes are those of somebody else: fusion may count one opinion twice."""
    found = [item.finding for item in results.findings if item.finding.check == COPIED]
    names = list(dict.fromkeys(finding.rater for finding in found if finding.rater))
    if not names:
        return []
    return [
        Step(
            f"Ask {_people(names)} whether the boxes are their own",
            " ".join(message(finding) for finding in found[:N_REASONS]),
            "findings",
        )
    ]


def _doubtful_input(results: Results) -> list[Step]:
    """What may have been read otherwise than it was meant: all that follows depends on it."""
    found = [f for f in results.of("check") if f.severity is Severity.REVIEW]
    return _of_the_study(found, "findings")


def _conventions(results: Results) -> list[Step]:
    """What the raters as a whole do differently from one another."""
    found = [f for f in results.of("agree") if f.severity is not Severity.NOTE]
    return _of_the_study(found, "agreement")


def _of_the_study(found: Sequence[Finding], section: str) -> list[Step]:
    """A step for each check that found something of the study, and of no case or rater."""
    return [
        Step(capitalised(check_info(f.check).about or readable(f.check)), message(f), section)
        for f in {f.check: f for f in reversed(found) if not (f.rater or f.case)}.values()
    ]


def _people(names: Sequence[str], limit: int = 4, noted: Mapping[str, str] | None = None) -> str:
    """Raters in a sentence; bare numbers with what they are, and each with a note where given."""
    text = listing([f"{name} ({noted[name]})" if noted else name for name in names], limit)
    if not any(name.isdecimal() for name in names[:limit]):
        return text
    return f"{'rater' if len(names) == 1 else 'raters'} {text}"


def _joined_reasons(reasons: Sequence[tuple[str, Sequence[str]]]) -> str:
    """The first reason of each, in one sentence; raters with the same reason together."""
    same: dict[str, list[str]] = {}
    for name, given in reasons:
        if given:
            same.setdefault(given[0].rstrip("."), []).append(name)
    texts = [f"{listing(names, 3)}: {reason}" for reason, names in same.items()]
    left = sum(map(len, list(same.values())[N_REASONS:]))
    more = [f"{left} more for other reasons"] if left else []
    text = "; ".join([*texts[:N_REASONS], *more])
    return f"{text}." if text else ""


def _missing(results: Results) -> list[Step]:
    """Organs of a case that nobody drew."""
    table = results.table("completeness")
    runs = table.groupby(["case", "label"], sort=True)["state"].agg(set)
    gone = [index for index, states in runs.items() if states == {"missing"}]
    if not gone:
        return []
    cases = list(dict.fromkeys(case for case, _ in gone))
    labels = Counter(readable(label) for _, label in gone)
    organs = listing([f"{label} ({n:,})" if n > 1 else label for label, n in labels.items()])
    noun = "organ is" if len(gone) == 1 else "organs are"
    return [
        Step(
            f"Have {count(len(gone), 'missing organ')} drawn in {listing(cases, 3)}",
            f"Nobody drew {organs}. Training would learn that there is none."
            if len(gone) < 6
            else f"{len(gone):,} {noun} missing from cases that were read: {organs}. Training "
            "would learn that there is none.",
            "completeness",
            "reject",
        )
    ]


def _lists(results: Results) -> list[Step]:
    """Send each rater the list of what to draw again."""
    table = results.table("completeness")
    broken = table[table["state"] == "partial"]
    if not len(broken):
        return []
    gaps, cut = int(broken["n_gaps"].sum()), int((broken["truncated"] != "").sum())
    parts = []
    if gaps:
        verb = "has" if gaps == 1 else "have"
        parts.append(f"{count(gaps, 'slice')} inside organs {verb} no box")
    if cut:
        verb = "stops" if cut == 1 else "stop"
        parts.append(f"{count(cut, 'organ')} {verb} too early at one end")
    worst = broken.sort_values("n_gaps", ascending=False, kind="stable").iloc[0]
    why = listing(parts) or "less is drawn than expected"
    why = f"{why}; most in {readable(worst.label)} of {worst.case}."
    place = "t-todo" if len(results.table("todo")) else ""
    what = _senders(results, len(broken))
    return [Step(what, capitalised(why), "completeness", place=place)]


def _senders(results: Results, n_runs: int) -> str:
    """Whom to write to: those with the longest lists first."""
    rejected = {name for name, (status, _) in verdicts(results).items() if status == "reject"}
    tasks = Counter(name for name in results.table("todo")["rater"] if name not in rejected)
    if not tasks:
        return f"Redraw {count(n_runs, 'incomplete organ')}"
    raters = sorted(tasks, key=lambda rater: -tasks[rater])
    names = _people(raters, 3, {rater: count(n, "task") for rater, n in tasks.items()})
    owner = "the work list" if len(raters) == 1 else "their work lists"
    return f"Send {names} {owner}"


def _unread(results: Results) -> list[Step]:
    table = results.table("completeness")
    unread = table[table["state"] == "unread"]
    if not len(unread):
        return []
    cases = [(str(case), ()) for case in unread["case"].unique()]
    verb = "was" if len(unread) == 1 else "were"
    return [
        Step(
            f"Have {_named(cases)} read",
            f"{count(len(unread), 'organ')} of them {verb} only opened: nobody knows whether "
            "there is something.",
            "completeness",
            "reject",
        )
    ]


def _cases_left_out(results: Results) -> list[Step]:
    entries = _cases(results, "reject")
    if not entries:
        return []
    cases = _named(entries)
    return [
        Step(
            f"Finish {cases}, or go on without {'it' if len(entries) == 1 else 'them'}",
            _joined_reasons(entries),
            "gate",
            "reject",
        )
    ]


def _cases_to_see(results: Results) -> list[Step]:
    entries = _cases(results, "review")
    if not entries:
        return []
    return [Step(f"Review {_named(entries)}", _joined_reasons(entries), "gate")]


def _raters_to_review(results: Results) -> list[Step]:
    decided = verdicts(results).items()
    found = [
        (name, _briefly(reasons, Where(rater=name)))
        for name, (status, reasons) in decided
        if status == "review"
    ]
    if not found or not results.manifest:
        return []
    names = _people([name for name, _ in found], 3)
    return [
        Step(f"Review {names}", _joined_reasons(found) or "The policy asks for a review.", "raters")
    ]


def _briefly(reasons: Iterable[Reason], unit: Where) -> tuple[str, ...]:
    return reason_sentences(reasons, unit, numbers=False)


def _named(entries: Sequence[tuple[str, object]]) -> str:
    """Names of cases, which are often bare numbers, with what they are."""
    noun = "case" if len(entries) == 1 else "cases"
    return f"{noun} {listing([name for name, _ in entries], 3)}"


def _cases(results: Results, status: str) -> list[tuple[str, tuple[str, ...]]]:
    """Cases of this verdict, with the gate's reasons."""
    entries = results.manifest.get("cases") or []
    return [
        (str(entry["case"]), _briefly(reasons_of(entry), Where(case=str(entry["case"]))))
        for entry in entries
        if verdict_of(entry) == status
    ]


def _apart(results: Results) -> list[Step]:
    table = results.table("consensus")
    apart = table[table["state"] == "no_consensus"]
    if not len(apart):
        return []
    where = Counter(apart["label"]).most_common(1)[0]
    return [
        Step(
            f"Settle {count(len(apart), 'object')} without consensus",
            f"Too few of the raters who looked drew them; most are {readable(where[0])} "
            f"({where[1]:,}).",
            "fusion",
        )
    ]


def _not_run(results: Results) -> list[Step]:
    missing = [STAGES[name] for name in _SECTIONS if not results.has_run(name)]
    if not missing:
        return []
    tasks = "; ".join(stage.title for stage in missing)
    command = missing[0].name if len(missing) == 1 else "run"
    why = f"Not done yet: {tasks}."
    return [Step(f"Run crowdqc {command}", why, _SECTIONS[missing[0].name])]


def _go_on(results: Results) -> Step:
    """What comes next where nothing has to be done again."""
    status = verdict_of(results.manifest)
    if status in {"review", "reject"}:
        why = "; ".join(_briefly(reasons_of(results.manifest), Where()))
        return Step(
            "Review what the gate asks", f"{why or 'It asks for a review'}.", "gate", status
        )
    fine = "Nothing stands against it."
    if results.has("masks"):
        if "dataset" not in results.stages:
            return Step("Run crowdqc dataset", fine, "masks", "accept")
        return Step("Train: run crowdqc train", fine, "effect", "accept")
    if results.has_volumes:
        return Step("Run crowdqc masks", fine, "masks", "accept")
    return Step("Use the fused boxes: they are in consensus.csv", fine, "fusion", "accept")
