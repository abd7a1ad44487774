"""The one catalogue of metrics: what is measured, in which unit, what it means, what to do.

Those with sources follow from the counts of the accounting; where a source has a `*` there is one
value for each detector or rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["counter", "distribution", "gauge"]


@dataclass(frozen=True)
class Metric:
    """One metric. A distribution has a value for each entity in Beam, their sum in run.json."""

    name: str
    kind: Kind
    unit: str
    meaning: str
    action: str
    """What to do when it is not what it should be."""
    sources: tuple[str, ...] = ()
    """Counts of the accounting that it is the sum of."""
    per: Literal["", "detector", "rule", "step"] = ""


CATALOGUE: Final = (
    Metric(
        "objects_read",
        "counter",
        "objects",
        "Files that were opened, also those that could not be read.",
        "If it stands still, nothing is delivered: look at the trail and at what copies its files.",
        ("objects|read",),
    ),
    Metric(
        "objects_unreadable",
        "counter",
        "objects",
        "Files of which nothing could be read.",
        "Look into dead_letters/ for the reason; a file that was still being copied is read again "
        "by the next incremental run.",
        ("objects|unreadable",),
    ),
    Metric(
        "records_read",
        "counter",
        "records",
        "Records found in all files; the accounting says where each went.",
        "Compare it with what you expect of a day: a fall by half is a source that is off.",
        ("records|read",),
    ),
    Metric(
        "records_dead_lettered",
        "counter",
        "records",
        "Records that could not be read, or whose time cannot be.",
        "Look into dead_letters/: each has its bytes and the reason.",
        ("records|unreadable", "records|out_of_range"),
    ),
    Metric(
        "events",
        "counter",
        "events",
        "Records that are API calls in the range of time that was asked for.",
        "None although records were read: the input is something else, or --from/--until miss it.",
        ("records|events",),
    ),
    Metric(
        "events_without_fields",
        "counter",
        "events",
        "Events that lack a field that the detector counts by: no user, or no city.",
        "Much is normal (services have no user, private addresses no city). All: the identity "
        "policy or the city database does not fit.",
        ("detectors|*|without_its_fields",),
        "detector",
    ),
    Metric(
        "events_on_time",
        "counter",
        "deliveries",
        "Events that were known at the firing of their own quarter of an hour.",
        "Nothing.",
        ("cells|*|on_time",),
        "detector",
    ),
    Metric(
        "events_late",
        "counter",
        "deliveries",
        "Events that became known later, but in time to be learned; their alerts are marked.",
        "A few are normal. Many: what copies the files is slow; run it more often.",
        ("cells|*|late",),
        "detector",
    ),
    Metric(
        "events_too_late",
        "counter",
        "deliveries",
        "Events that came when their slice had been learned: kept in late/, judged if they are "
        "new to the entity, never learned.",
        "Find out which source is more than two hours late. If a lot of history is missing, make "
        "the state anew by a replay.",
        ("cells|*|too_late",),
        "detector",
    ),
    Metric(
        "cells_judged",
        "counter",
        "cells",
        "Actions of an entity in a quarter of an hour that were judged.",
        "Nothing.",
        ("cells|*|judged",),
        "detector",
    ),
    Metric(
        "cells_too_young",
        "counter",
        "cells",
        "First times of an entity of which too little is known to judge it (`contrast`).",
        "Falls within days. If not, names never repeat: choose another identity policy.",
        ("cells|*|too_young",),
        "detector",
    ),
    Metric(
        "cells_kept_out",
        "counter",
        "cells",
        "Actions that were not learned since they lie in a confirmed incident (--incidents).",
        "Nothing. None although you named one: the entity or the times in the file do not fit.",
        ("cells|*|kept_out",),
        "detector",
    ),
    Metric(
        "entities_new",
        "counter",
        "entities",
        "Users or cities that did something for the first time at all (`contrast`).",
        "Turn on the rules first-activity-of-a-user and first-activity-from-a-city to be told.",
        ("cells|*|new_entities",),
        "detector",
    ),
    Metric(
        "candidates",
        "counter",
        "cells",
        "Those of them that are rare or new.",
        "A sudden rise: a new project, a new tool, or somebody who looks around.",
        ("cells|*|candidates",),
        "detector",
    ),
    Metric(
        "cells_flooded",
        "counter",
        "cells",
        "Candidates beyond 20 of one entity in one quarter of an hour: told as one `flood`.",
        "Look at the flood's entity: a scanner, or a user name that stands for many.",
        ("cells|*|flood_excess",),
        "detector",
    ),
    Metric(
        "cells_overflowed",
        "counter",
        "cells",
        "Actions that were not learned since their entity has 2,000 others already.",
        "Look at the anomaly `overflow`: no entity does so much. Hostile names, or a wrong "
        "identity policy.",
        ("cells|*|overflow",),
        "detector",
    ),
    Metric(
        "entities_forgotten",
        "counter",
        "entities",
        "Users or cities of which nothing was learned for --forget_after.",
        "Nothing; if they come back they are new.",
        ("cells|*|forgotten",),
        "detector",
    ),
    Metric(
        "anomalies",
        "counter",
        "anomalies",
        "What was judged rare or new, also below the threshold: the records in anomalies/.",
        "Nothing.",
        ("anomalies|*",),
        "rule",
    ),
    Metric(
        "firings",
        "counter",
        "firings",
        "Firings at which the rule had anything at or over its threshold, new or waiting.",
        "Nothing.",
        ("firings|*",),
        "rule",
    ),
    Metric(
        "alerts",
        "counter",
        "alerts",
        "Alerts that were written.",
        "More than people can look at: raise the rule's threshold in a copy of its file.",
        ("alerts|*",),
        "rule",
    ),
    Metric(
        "alerts_cut",
        "counter",
        "anomalies × firings",
        "How often the cap held an anomaly back, which then waited for the next firing.",
        "An incident, or a rule that is too loose: run.json has the scores of each firing.",
        ("cut|*",),
        "rule",
    ),
    Metric(
        "alerts_suppressed",
        "counter",
        "anomalies",
        "Repeats of an alert less than two hours away, dropped.",
        "Nothing: all are in anomalies/.",
        ("suppressed|*",),
        "rule",
    ),
    Metric(
        "alerts_expired",
        "counter",
        "anomalies",
        "Anomalies over the threshold that waited in vain as long as the rule looks back.",
        "Raise the rule's max_alerts or its threshold, and look at them in anomalies/.",
        ("expired|*",),
        "rule",
    ),
    Metric(
        "entities",
        "distribution",
        "entities",
        "Users or cities that are remembered when the run ends.",
        "Growth without end: user names that never repeat; choose another identity policy.",
        ("held|*|entities",),
        "detector",
    ),
    Metric(
        "entity_actions",
        "distribution",
        "actions",
        "Actions that are remembered of each of them.",
        "See largest_entity.",
        ("held|*|actions",),
        "detector",
    ),
    Metric(
        "largest_entity",
        "gauge",
        "actions",
        "The most actions that are remembered of one entity; 2,000 is the bound.",
        "`raretrail state show` names the largest ones. Machines have a handful, people a hundred.",
        ("latest|largest|*",),
        "detector",
    ),
    Metric(
        "cells_unsettled",
        "distribution",
        "cells",
        "Actions in a quarter of an hour that are judged and not learned yet.",
        "Nothing: two hours' worth.",
        ("held|*|unsettled",),
        "detector",
    ),
    Metric(
        "state_bytes",
        "distribution",
        "bytes",
        "Size of the state: in Beam of each key as it is saved, in run.json of the snapshot.",
        "It should level off. If it grows, look at entities and largest_entity.",
        per="step",
    ),
    Metric(
        "watermark_lag_seconds",
        "gauge",
        "seconds",
        "How far behind the clock the last firing was done; live and incremental runs only.",
        "Above 45 minutes: the job is too slow, or the source has stopped.",
    ),
    Metric(
        "seconds",
        "gauge",
        "seconds",
        "How long the steps took, also those that an earlier call of the command did; of an "
        "incremental run the last call. In run.json only.",
        "Nothing.",
    ),
    Metric(
        "steps",
        "gauge",
        "steps",
        "Steps that the run was made of; in run.json only.",
        "Nothing.",
    ),
)
