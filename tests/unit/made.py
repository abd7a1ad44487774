"""Records made by hand, so that tests mean something without the shared data."""

import gzip
import json
from typing import Any

ALICE = {
    "type": "IAMUser",
    "principalId": "AIDAEXAMPLE",
    "arn": "arn:aws:iam::111122223333:user/alice",
    "accountId": "111122223333",
    "accessKeyId": "AKIAEXAMPLE",
    "userName": "alice",
}


def assumed_role(role: str, session: str, **changes: Any) -> dict[str, Any]:
    return {
        "type": "AssumedRole",
        "principalId": f"AROAEXAMPLE:{session}",
        "arn": f"arn:aws:sts::111122223333:assumed-role/{role}/{session}",
        "accountId": "111122223333",
        "sessionContext": {
            "sessionIssuer": {
                "type": "Role",
                "principalId": "AROAEXAMPLE",
                "arn": f"arn:aws:iam::111122223333:role/{role}",
                "accountId": "111122223333",
                "userName": role,
            }
        },
        **changes,
    }


def record(number: int = 0, **changes: Any) -> dict[str, Any]:
    """A record; a change to None takes the field out."""
    fields = {
        "eventVersion": "1.08",
        "userIdentity": ALICE,
        "eventTime": "2024-03-13T08:33:29Z",
        "eventSource": "s3.amazonaws.com",
        "eventName": "GetObject",
        "awsRegion": "eu-west-1",
        "sourceIPAddress": "81.2.69.144",
        "userAgent": "aws-cli/2.13.0 Python/3.11.4",
        "requestParameters": {"bucketName": "b", "key": 'a "quoted" {[ \\ name}{'},
        "responseElements": None,
        "eventID": f"11111111-2222-3333-4444-{number:012}",
        "readOnly": True,
        "eventType": "AwsApiCall",
        "recipientAccountId": "111122223333",
    }
    return {key: value for key, value in {**fields, **changes}.items() if value is not None}


def encode(value: object) -> bytes:
    return json.dumps(value).encode()


def document(*records: object) -> bytes:
    return encode({"Records": list(records)})


def lines(*values: object) -> bytes:
    return b"".join(encode(value) + b"\n" for value in values)


def zipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)
