"""The account of alerts: what may alert, what each firing chose, and what it held back."""

import pytest
from accounts import CITY, FIRING, HEADER, RULE, account, selection
from factory import anomaly

from schemas.selection import Selection

ENDED = [
    selection(new=4, alerts=[anomaly(RULE, 99.0, FIRING)], suppressed=[80.0], cut=[79.0, 78.0]),
    selection(firing=FIRING + 1, alerts=[anomaly(RULE, 79.0, FIRING)], cut=[78.0]),
    selection(firing=FIRING + 8, expired=[78.0]),
]
"""Of four anomalies at the threshold two became alerts; what was cut waits, and is no end."""
WALK = "mine: alertable + waiting before = alerts + suppressed + expired + waiting"


@pytest.mark.parametrize(
    ("alertable", "said", "waiting", "words"),
    [
        (4, ENDED, (0, 0), None),
        (3, ENDED, (0, 0), "mine: alertable = selected from: 3 ≠ 4"),
        (5, ENDED, (0, 0), "mine: alertable = selected from: 5 ≠ 4"),
        (4, [], (0, 4), "mine: alertable = selected from: 4 ≠ 0"),
        (4, ENDED[:1], (0, 0), f"{WALK}: 4 ≠ 2"),
        (4, ENDED[:2], (0, 0), f"{WALK}: 4 ≠ 3"),
        (4, [*ENDED, ENDED[2]], (0, 0), f"{WALK}: 4 ≠ 5"),
        # what waits when a run ends, and what waited when it began
        (4, ENDED[:1], (0, 2), None),
        (4, ENDED[:2], (0, 1), None),
        (4, ENDED[:2], (0, 2), f"{WALK}: 4 ≠ 5"),
        (0, ENDED[1:], (2, 0), None),
        (0, ENDED[2:], (1, 0), None),
        (0, ENDED[2:], (2, 0), f"{WALK}: 2 ≠ 1"),
        (0, ENDED[1:], (0, 0), f"{WALK}: 0 ≠ 2"),
        (0, [], (3, 3), None),
    ],
)
def test_what_may_alert_is_alerted_suppressed_expired_or_waits(
    alertable: int, said: list[Selection], waiting: tuple[int, int], words: str | None
) -> None:
    before, after = waiting
    carried = HEADER["carried_in"] | {"held|waiting|mine": before}
    changes = {"alertable|mine": alertable, "held|waiting|mine": after}
    document = account(changes, said, carried_in=carried)["accounting"]
    assert (document["gaps"] == []) is document["closes"] is (words is None)
    assert (words in document["gaps"]) if words else not document["gaps"]
    assert (document["alerts"]["mine"]["waiting_before"], after) == (
        before,
        document["alerts"]["mine"]["waiting"],
    )


def test_what_another_rule_let_wait_is_not_ours() -> None:
    changes = {"alertable|mine": 1, "held|waiting|yours": 1}
    gaps = account(changes, [selection(new=1)])["accounting"]["gaps"]
    assert len(gaps) == 2
    assert gaps[0] == f"{WALK}: 1 ≠ 0"
    assert gaps[1].startswith("yours: ")


# Firings


def test_firings_say_what_was_held_back() -> None:
    alerts = [anomaly(RULE, 99.0, FIRING, user=f"user{n}") for n in range(3)]
    said = [
        selection(
            new=9,
            alerts=alerts,
            cut=[90.0, 80.5],
            suppressed=[77.0],
            expired=[76.0, 75.5, 75.0],
        )
    ]
    assert account({}, said)["firings"] == [
        {
            "firing": "2024-03-09T16:15:00.000Z",
            "rule": "mine",
            "new": 9,
            "alerts": 3,
            "cut": {"number": 2, "scores": [90.0, 80.5]},
            "suppressed": {"number": 1, "scores": [77.0]},
            "expired": {"number": 3, "scores": [76.0, 75.5, 75.0]},
        }
    ]


@pytest.mark.parametrize("number", [999, 1_000, 1_001, 5_000])
@pytest.mark.parametrize("kind", ["cut", "suppressed", "expired"])
def test_lists_of_scores_are_bounded_and_their_numbers_exact(kind: str, number: int) -> None:
    scores = [100 - n / 1000 for n in range(number)]
    (firing,) = account({}, [selection(**{kind: scores})])["firings"]
    assert firing[kind] == {"number": number, "scores": scores[:1_000]}


def test_alerts_are_summed_over_the_firings_of_their_rule() -> None:
    alert = anomaly(RULE, 99.0, FIRING)
    said = [
        selection(new=3, alerts=[alert], cut=[80.0, 79.0]),
        selection(firing=FIRING + 1, alerts=[alert, alert], suppressed=[80.0]),
        selection(firing=FIRING + 2, expired=[79.0, 78.0]),
        selection(CITY, new=1, alerts=[alert]),
    ]
    changes = {"alertable|mine": 3, "alertable|yours": 1, "held|waiting|mine": 5}
    sums = {"waiting_before": 0, "suppressed": 0, "expired": 0, "waiting": 0}
    assert account(changes, said)["accounting"]["alerts"] == {
        "mine": {
            "alertable": 3,
            "selected_from": 3,
            "waiting_before": 0,
            "alerts": 3,
            "suppressed": 1,
            "expired": 2,
            "waiting": 5,
        },
        "yours": {"alertable": 1, "selected_from": 1, "alerts": 1} | sums,
    }
