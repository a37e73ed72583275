"""Amazon's two formats, by implementations that are not ours: event streams as Bedrock frames them, and signatures
checked with botocore."""
import datetime
import json
import struct
import zlib

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

# AWS's own examples.
KEYS = ACCESS_KEY, SECRET_KEY, TOKEN = (
    "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "a-session/token==")


def frame(headers, payload):
    """One frame of application/vnd.amazon.eventstream."""
    head = b"".join(bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value)) + value.encode()
                    for name, value in headers.items())
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    message = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return message + struct.pack(">I", zlib.crc32(message))


def event(line):
    """A recorded line, {"metadata":{..}}, as Bedrock sends it."""
    [(name, payload)] = json.loads(line).items()
    return frame({":event-type": name, ":content-type": "application/json", ":message-type": "event"},
                 json.dumps(payload).encode())


def exception(name, message):
    return frame({":exception-type": name, ":content-type": "application/json", ":message-type": "exception"},
                 json.dumps({"message": message}).encode())


def signature_problem(request, keys=KEYS):
    """What is wrong with a request's signature; None when botocore makes the same."""
    expected_key, secret_key, token = keys
    headers = request.headers
    scheme, _, rest = headers.get("authorization", "").partition(" ")
    fields = dict(part.strip().split("=", 1) for part in rest.split(",") if "=" in part)
    access_key, day, region, service, _ = (fields.get("Credential", "") + "////").split("/")[:5]
    if scheme != "AWS4-HMAC-SHA256" or access_key != expected_key:
        return f"not signed by {expected_key}"
    names = fields["SignedHeaders"].split(";")
    for name in ("host", "x-amz-date", "x-amz-security-token"):
        if name not in names:
            return f"{name} is not signed"
    if headers["x-amz-security-token"] != token:
        return "another session token"
    date = datetime.datetime.strptime(headers["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
    if abs((datetime.datetime.now(datetime.timezone.utc) - date).total_seconds()) > 300 or day != f"{date:%Y%m%d}":
        return "another time"
    signed = AWSRequest(method="POST", url=f"https://{headers['host']}{request.path}", data=request.raw,
                        headers={name: headers[name] for name in names})
    signed.context["timestamp"] = headers["x-amz-date"]
    signer = SigV4Auth(Credentials(expected_key, secret_key, token), service, region)
    expected = signer.signature(signer.string_to_sign(signed, signer.canonical_request(signed)), signed)
    return None if expected == fields["Signature"] else "the signature does not match"
