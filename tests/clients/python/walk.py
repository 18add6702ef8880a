"""Walks sign-in, enrolment, resend and lock against identity over mutual TLS."""

import importlib
import json
import os
import re
import sys
import tempfile
import time
import urllib.parse
import urllib.request
import uuid
from pathlib import Path

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

PROTO = Path(os.environ["SALLYPORT_PROTO"])
EMAIL = os.environ["SALLYPORT_EMAIL"]
NUMBER = os.environ["SALLYPORT_NUMBER"]
PASSWORD = "granite otter walks 47 bridges"
DEADLINE = 10
FIRST_LOCK = 15 * 60
steps = 0


def generate():
    """Compiles the protos into a temporary folder and imports the stubs."""
    out = tempfile.mkdtemp()
    files = [str(p) for p in sorted(PROTO.glob("sallyport/identity/v1/*.proto"))]
    include = Path(protoc.__file__).parent / "_proto"
    code = protoc.main(
        ["protoc", f"-I{PROTO}", f"-I{include}", f"--python_out={out}", f"--grpc_python_out={out}", *files]
    )
    assert code == 0, "the protos do not compile"
    sys.path.insert(0, out)
    names = ["sign_in", "code", "two_factor", "password"]
    load = lambda name: importlib.import_module(f"sallyport.identity.v1.{name}")
    return {n: load(f"{n}_pb2") for n in names}, {n: load(f"{n}_pb2_grpc") for n in names}


def channel():
    read = lambda name: Path(os.environ[name]).read_bytes()
    credentials = grpc.ssl_channel_credentials(
        read("SALLYPORT_CA"), read("SALLYPORT_KEY"), read("SALLYPORT_CERT")
    )
    return grpc.secure_channel(os.environ["SALLYPORT_IDENTITY"], credentials)


def metadata(token=None):
    pairs = [("x-client-ip", "192.0.2.10"), ("x-request-id", str(uuid.uuid4()))]
    if token:
        pairs.append(("authorization", f"Bearer {token}"))
    return pairs


def call(method, request, token=None):
    return method(request, metadata=metadata(token), timeout=DEADLINE)


def refusal(error, code, reason):
    """The error must be a refusal with this code and reason; gives the ErrorInfo's metadata, and the
    seconds after which RetryInfo lets the caller try again (None without it)."""
    assert error.code() == code, f"{error.code()} {error.details()}"
    status = rpc_status.from_call(error)
    found, metadata, wait = None, {}, None
    for detail in status.details if status else []:
        info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
        if detail.Unpack(info):
            found, metadata = info.reason, dict(info.metadata)
        elif detail.Unpack(retry):
            wait = retry.retry_delay.ToTimedelta().total_seconds()
    assert found == reason, f"{found}, not {reason}"
    return metadata, wait


def refused(method, request, token, code, reason):
    """The call must be refused with this code and reason; gives metadata and wait."""
    try:
        call(method, request, token)
    except grpc.RpcError as error:
        return refusal(error, code, reason)
    raise AssertionError(f"not refused: {reason}")


def when_open(method, request, token, reason):
    """Calls until it is no longer refused for this reason, after the waits that the refusals name;
    gives the answer and the number of refusals."""
    refusals = 0
    while True:
        try:
            return call(method, request, token), refusals
        except grpc.RpcError as error:
            _, wait = refusal(error, grpc.StatusCode.RESOURCE_EXHAUSTED, reason)
            assert wait and wait > 0, "a refusal to come back later does not say when"
            refusals += 1
            assert refusals < 5, "the waits that the refusals name are too short"
            time.sleep(wait)


def texts(count):
    """Waits until the carrier has `count` messages with a code for the number; notices are passed over."""
    after = count - 1
    while True:
        query = urllib.parse.urlencode({"to": NUMBER, "wait": 20, "after": after})
        with urllib.request.urlopen(f"{os.environ['SALLYPORT_SMS']}?{query}", timeout=30) as answer:
            messages = [m["text"] for m in json.load(answer)]
        codes = [text for text in messages if code_in(text)]
        if len(codes) >= count:
            return codes
        assert len(messages) > after, f"{len(codes)} codes, not {count}"
        after = len(messages)


def code_in(text):
    """The code on the last line, or None."""
    found = re.search(r"^@\S+ #(\d{6})$", text.splitlines()[-1])
    return found and found.group(1)


def other_than(code):
    return "000000" if code != "000000" else "000001"


def step(name):
    global steps
    steps += 1
    print(name, flush=True)


def main():
    pb, rpc = generate()
    wire = channel()
    sign_in = rpc["sign_in"].SignInServiceStub(wire)
    codes = rpc["code"].CodeServiceStub(wire)
    two_factor = rpc["two_factor"].TwoFactorServiceStub(wire)
    passwords = rpc["password"].PasswordServiceStub(wire)
    key = lambda: str(uuid.uuid4())

    call(
        passwords.SetPasswordByLink,
        pb["password"].SetPasswordByLinkRequest(
            link_token=os.environ["SALLYPORT_LINK"], password=PASSWORD
        ),
    )
    step("set a password by the link")

    first = pb["sign_in"].SignInRequest(email=EMAIL, password=PASSWORD)
    refused(
        sign_in.SignIn,
        pb["sign_in"].SignInRequest(email=EMAIL, password="not the password at all"),
        None,
        grpc.StatusCode.INVALID_ARGUMENT,
        "sign_in.failed",
    )
    answer = call(sign_in.SignIn, first)
    assert answer.stage == pb["sign_in"].SESSION_STAGE_SIGNED_IN
    token = answer.session_token
    step("signed in with the password")

    pending = call(
        two_factor.EnableTwoFactor,
        pb["two_factor"].EnableTwoFactorRequest(number=NUMBER, idempotency_key=key()),
        token,
    )
    assert not pending.active and pending.challenge.number_ending == NUMBER[-2:]
    text = texts(1)[0]
    assert pending.challenge.reference in text
    done = call(codes.VerifyCode, pb["code"].VerifyCodeRequest(code=code_in(text)), token)
    recovery = list(done.recovery_codes)
    assert len(recovery) == 10
    token = done.session_token
    step("enrolled the number")

    call(sign_in.SignOut, pb["sign_in"].SignOutRequest(), token)
    refused(
        sign_in.GetSession,
        pb["sign_in"].GetSessionRequest(),
        token,
        grpc.StatusCode.UNAUTHENTICATED,
        "session.expired",
    )
    answer = call(sign_in.SignIn, first)
    assert answer.stage == pb["sign_in"].SESSION_STAGE_AWAITING_SECOND_FACTOR
    token = answer.session_token
    refused(
        two_factor.GetTwoFactor,
        pb["two_factor"].GetTwoFactorRequest(),
        token,
        grpc.StatusCode.FAILED_PRECONDITION,
        "second_factor_required",
    )
    seen = len(texts(1))
    sent = call(
        codes.SendSignInCode, pb["code"].SendSignInCodeRequest(idempotency_key=key()), token
    ).challenge
    step("sent the code of the sign-in")

    # Too early at first; the same request goes through when the refusal says so.
    resent, refusals = when_open(
        codes.ResendCode,
        pb["code"].ResendCodeRequest(idempotency_key=key()),
        token,
        "code.resend_too_early",
    )
    resent = resent.challenge
    assert refusals > 0, "a resend was not too early"
    assert resent.reference == sent.reference
    assert resent.sends_left == sent.sends_left - 1
    assert resent.resend_at.ToMilliseconds() > sent.resend_at.ToMilliseconds()
    seen += 2
    first_text, second_text = texts(seen)[-2:]
    code = code_in(first_text)
    assert code_in(second_text) == code, "a resend repeats the code"
    assert sent.reference in first_text and sent.reference in second_text
    step("sent the same code again")

    metadata, _ = refused(
        codes.VerifyCode,
        pb["code"].VerifyCodeRequest(code=other_than(code)),
        token,
        grpc.StatusCode.INVALID_ARGUMENT,
        "code.wrong",
    )
    assert metadata["tries_left"] == "4", metadata
    done = call(codes.VerifyCode, pb["code"].VerifyCodeRequest(code=code), token)
    assert done.session_token
    step("signed in with the code")

    # Wrong codes, challenge after challenge: the fifth ends each, and the fifteenth in a row locks.
    for _ in range(3):
        token = call(sign_in.SignIn, first).session_token
        call(codes.SendSignInCode, pb["code"].SendSignInCodeRequest(idempotency_key=key()), token)
        seen += 1
        code = code_in(texts(seen)[-1])
        for left in ("4", "3", "2", "1", "0"):
            metadata, _ = refused(
                codes.VerifyCode,
                pb["code"].VerifyCodeRequest(code=other_than(code)),
                token,
                grpc.StatusCode.INVALID_ARGUMENT,
                "code.wrong",
            )
            assert metadata["tries_left"] == left, metadata
    # From then on no code is taken, the right one neither, and none is sent.
    answer = call(sign_in.SignIn, first)
    assert answer.stage == pb["sign_in"].SESSION_STAGE_AWAITING_SECOND_FACTOR
    locked = [
        (codes.VerifyCode, pb["code"].VerifyCodeRequest(code=code), token),
        (
            codes.SendSignInCode,
            pb["code"].SendSignInCodeRequest(idempotency_key=key()),
            answer.session_token,
        ),
    ]
    token = answer.session_token
    for method, request, session in locked:
        _, wait = refused(
            method,
            request,
            session,
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            "second_factor.locked",
        )
        assert wait and 0 < wait <= FIRST_LOCK, wait
    step("locked the second step")

    call(
        codes.UseRecoveryCode,
        pb["code"].UseRecoveryCodeRequest(recovery_code=recovery[0].lower()),
        token,
    )
    step("signed in with a recovery code past the lock")
    print(f"walked {steps} steps", flush=True)


main()
