"""The token services of clouds, behind TLS: what a data plane asks them is kept, what they answer is the test's."""
import collections
import datetime
import http.server
import json
import ssl
import threading
import urllib.parse

Asked = collections.namedtuple("Asked", "path form headers")
Answer = collections.namedtuple("Answer", "status content_type body")


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):  # pylint: disable=invalid-name
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        form = dict(urllib.parse.parse_qsl(body, strict_parsing=True))
        asked = Asked(self.path, form, {name.lower(): value for name, value in self.headers.items()})
        self.server.service.asked.append(asked)
        answer = self.server.service.answer(asked)
        self.send_response(answer.status)
        self.send_header("content-type", answer.content_type)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass


class TokenService:
    """`answer(asked)` makes each Answer; it may be changed at any time."""

    def __init__(self, authority, answer):
        self.answer = answer
        self.asked = []
        certificate, key = authority.issue("token-service")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self._server.service = self
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()


def sts_keys(keys, seconds=3600):
    """AssumeRoleWithWebIdentity's answer, as AWS documents it."""
    access_key, secret_key, session_token = keys
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=seconds)
    return Answer(200, "text/xml", f"""<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>system:serviceaccount:rota-system:rota-dataplane</SubjectFromWebIdentityToken>
    <Audience>sts.amazonaws.com</Audience>
    <AssumedRoleUser>
      <Arn>arn:aws:sts::111122223333:assumed-role/rota/dataplane</Arn>
      <AssumedRoleId>AROACLKWSDQRAOEXAMPLE:dataplane</AssumedRoleId>
    </AssumedRoleUser>
    <Credentials>
      <SessionToken>{session_token}</SessionToken>
      <SecretAccessKey>{secret_key}</SecretAccessKey>
      <Expiration>{end:%Y-%m-%dT%H:%M:%S.%f}Z</Expiration>
      <AccessKeyId>{access_key}</AccessKeyId>
    </Credentials>
  </AssumeRoleWithWebIdentityResult>
  <ResponseMetadata><RequestId>ad4156e9-bce1-11e2-82e6-6b6efEXAMPLE</RequestId></ResponseMetadata>
</AssumeRoleWithWebIdentityResponse>
""".encode())


def sts_refusal(code="AccessDenied", message="Not authorized to perform sts:AssumeRoleWithWebIdentity"):
    return Answer(403, "text/xml", f"""<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <Error><Type>Sender</Type><Code>{code}</Code><Message>{message}</Message></Error>
  <RequestId>4f4c2b4b-5b5a-4f4e-8d7e-EXAMPLE</RequestId>
</ErrorResponse>""".encode())


def entra_token(token, seconds=3599):
    return Answer(200, "application/json; charset=utf-8", json.dumps(
        {"token_type": "Bearer", "expires_in": seconds, "ext_expires_in": seconds, "access_token": token}).encode())
