"""The alert: an anomaly as an ECS document that an alert table can show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from schemas.anomaly import Anomaly
from schemas.event import SLICE_MS
from schemas.rule import Rule
from schemas.slice import Evidence
from schemas.words import iso, sentence

BODY_LIMIT: Final = 8_192
"""Most bytes of a record's canonical JSON in an alert; longer ones are cut and marked."""
ECS_VERSION: Final = "8.17.0"


def alert_document(
    rule: Rule, found: Anomaly, firing: int, rank: int, bodies: Sequence[bytes | None]
) -> dict[str, Any]:
    """One alert: ECS fields for tables, `kibana.alert.*` as Kibana names them, ours in `raretrail`.

    `bodies` are the canonical records of the evidence, None where one cannot be read. Nothing in
    it depends on the run: no wall clock, host or object name.
    """
    fired = iso((firing + 1) * SLICE_MS)
    document: dict[str, Any] = {
        "@timestamp": fired,
        "ecs": {"version": ECS_VERSION},
        "message": sentence(found),
        "kibana.alert.uuid": found.id,
        "kibana.alert.status": "active",
        "kibana.alert.workflow_status": "open",
        "kibana.alert.reason": sentence(found),
        "kibana.alert.severity": rule.severity,
        "kibana.alert.risk_score": rule.risk_score,
        "kibana.alert.original_time": iso(found.first_seen),
        "kibana.alert.rule.uuid": rule.uuid,
        "kibana.alert.rule.rule_id": rule.id,
        "kibana.alert.rule.name": rule.name,
        "kibana.alert.rule.version": rule.version,
        "kibana.alert.rule.description": rule.description,
        "kibana.alert.rule.tags": list(rule.tags),
        "kibana.alert.rule.references": list(rule.references),
        "kibana.alert.rule.false_positives": list(rule.false_positives),
        "kibana.alert.rule.note": rule.guide,
        **_ecs(found, rule.detector.by_field),
        "raretrail": _ours(rule, found, fired, rank, bodies),
    }
    return document


def _ecs(found: Anomaly, by_field: str) -> dict[str, Any]:
    """What the cell says, under ECS names; several values are a list, none is a missing field."""
    cell, evidence = found.cell, found.evidence
    fields: dict[str, Any] = {}

    def put(name: str, values: Sequence[str]) -> None:
        distinct = sorted({value for value in values if value})
        if not distinct:
            return
        node = fields
        *path, leaf = name.split(".")
        for part in path:
            node = node.setdefault(part, {})
        node.setdefault(leaf, distinct[0] if len(distinct) == 1 else distinct)

    for name, value in (*found.entity.items(), (by_field, found.action)):
        if name != "user.name":  # the detectors' user may be another name
            put(name, [value])
    put("event.provider", [e.provider for e in evidence])
    put("event.outcome", ["failure" if cell.failed else "success"])
    put("user.name", [e.user_name for e in evidence])
    put("cloud.account.id", cell.account)
    put("cloud.region", cell.region)
    put("cloud.provider", ["aws"])
    put("source.address", [e.address for e in evidence])
    put("source.geo.city_name", [e.city for e in evidence])
    put("source.geo.country_iso_code", [e.country for e in evidence])
    put("user_agent.original", [e.agent for e in evidence])
    put("error.code", cell.error)
    fields["event"] = {"kind": "signal", "dataset": "aws.cloudtrail", **fields["event"]}
    return fields


def _ours(
    rule: Rule, found: Anomaly, fired: str, rank: int, bodies: Sequence[bytes | None]
) -> dict[str, Any]:
    cell = found.cell
    return {
        "score": found.score,
        "threshold": rule.threshold,
        "scorer": found.scorer,
        "probability": found.probability,
        "surprise": found.surprise,
        "rate": found.rate,
        "factors": msgspec.to_builtins(found.factors),
        "scope": found.scope,
        "entity": found.entity,
        "firing": fired,
        "rank": rank,
        "timing": found.timing,
        "basis": found.basis,
        "incident": found.incident,
        "slice_start": iso(found.slice_start),
        "slice_end": iso(found.slice_end),
        "first_seen": iso(found.first_seen),
        "last_seen": iso(found.last_seen),
        "count": found.count,
        "count_exact": found.count_exact,
        "failed": cell.failed,
        "write": cell.write,
        "seen_before": found.seen,
        "seen_last": None if found.seen_last is None else iso(found.seen_last),
        "places": list(cell.place),
        "tools": list(cell.tool),
        "users": list(cell.users),
        "errors": list(cell.error),
        "profile": _profile(found),
        "evidence": [
            _evidence(event, body) for event, body in zip(found.evidence, bodies, strict=True)
        ],
    }


def _profile(found: Anomaly) -> dict[str, Any]:
    profile: dict[str, Any] = msgspec.to_builtins(found.profile)
    for edge in ("since", "latest"):
        if profile[edge] is not None:
            profile[edge] = iso(profile[edge])
    return profile


def _evidence(event: Evidence, body: bytes | None) -> dict[str, Any]:
    shown = {
        "event_id": event.id,
        "time": iso(event.time),
        "provider": event.provider,
        "user_name": event.user_name,
        "arn": event.arn,
        "access_key": event.access_key,
        "session": event.session,
        "agent": event.agent,
        "address": event.address,
        "country": event.country,
        "city": event.city,
        "account": event.account,
        "region": event.region,
        "error": event.error,
    }
    if body is None:
        absent = "the object that held the record cannot be read any more"
        return {**shown, "request_parameters": None, "body": None, "body_absent": absent}
    parameters = _request_parameters(body)
    return {
        **shown,
        "request_parameters": _cut(parameters),
        "request_parameters_cut": len(parameters) > BODY_LIMIT,
        "body": _cut(body),
        "body_bytes": len(body),
        "body_cut": len(body) > BODY_LIMIT,
    }


class _Request(msgspec.Struct):
    requestParameters: msgspec.Raw = msgspec.Raw(b"null")  # noqa: N815


def _request_parameters(body: bytes) -> bytes:
    return bytes(msgspec.json.decode(body, type=_Request).requestParameters)


def _cut(text: bytes) -> str:
    return text[:BODY_LIMIT].decode(errors="ignore")
