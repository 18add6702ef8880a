"""Walks sign-in, enrolment, resend and lock against identity over mutual TLS."""

import importlib
import json
import os
import re
import sys
import tempfile
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


def refused(method, request, token, code, reason):
    """The call must be refused with this code and reason; gives the ErrorInfo's metadata."""
    try:
        call(method, request, token)
    except grpc.RpcError as error:
        assert error.code() == code, f"{error.code()} {error.details()}"
        for detail in rpc_status.from_call(error).details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                assert info.reason == reason, f"{info.reason}, not {reason}"
                return dict(info.metadata)
        raise AssertionError("a refusal without ErrorInfo")
    raise AssertionError(f"not refused: {reason}")


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
    call(codes.SendSignInCode, pb["code"].SendSignInCodeRequest(idempotency_key=key()), token)
    code = code_in(texts(seen + 1)[-1])
    step("sent the code of the sign-in")

    refused(
        codes.ResendCode,
        pb["code"].ResendCodeRequest(idempotency_key=key()),
        token,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "code.resend_too_early",
    )
    wrong = "000000" if code != "000000" else "000001"
    left = refused(
        codes.VerifyCode,
        pb["code"].VerifyCodeRequest(code=wrong),
        token,
        grpc.StatusCode.INVALID_ARGUMENT,
        "code.wrong",
    )
    assert left["tries_left"] == "4", left
    done = call(codes.VerifyCode, pb["code"].VerifyCodeRequest(code=code), token)
    assert done.session_token
    step("signed in with the code")

    # Wrong codes, challenge after challenge: the fifth ends each, and the fifteenth in a row locks.
    locked = False
    for _ in range(3):
        token = call(sign_in.SignIn, first).session_token
        call(codes.SendSignInCode, pb["code"].SendSignInCodeRequest(idempotency_key=key()), token)
        for _ in range(5):
            try:
                call(codes.VerifyCode, pb["code"].VerifyCodeRequest(code=wrong), token)
                # One code in a million is the wrong one by chance.
                raise SystemExit("the wrong code was right; run again")
            except grpc.RpcError:
                pass
    token = call(sign_in.SignIn, first).session_token
    refused(
        codes.SendSignInCode,
        pb["code"].SendSignInCodeRequest(idempotency_key=key()),
        token,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        "second_factor.locked",
    )
    step("locked the second step")

    call(
        codes.UseRecoveryCode,
        pb["code"].UseRecoveryCodeRequest(recovery_code=recovery[0].lower()),
        token,
    )
    step("signed in with a recovery code past the lock")
    print(f"walked {steps} steps", flush=True)


main()
