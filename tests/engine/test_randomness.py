"""What libraries in C and Rust draw from their own generators is on the tape: a replay has the same keys."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from loadgen.core.verdict import Judgement
from loadgen.modes.local import LocalHost
from tests.engine.conftest import Bench, visiting
from tests.engine.test_gaps import overlay_without

if TYPE_CHECKING:
    from loadgen.core.verdict import Verdict

pytestmark = [pytest.mark.engine, pytest.mark.once]

SECTIONS = (
    "cryptography.hazmat.bindings._rust", "OpenSSL.crypto", "_ssl", "bcrypt", "nacl.bindings.crypto_box",
    "nacl.bindings.crypto_kx", "nacl.bindings.crypto_sign", "nacl.bindings.crypto_pwhash",
    "nacl.bindings.crypto_secretstream", "nacl.bindings.randombytes", "uuid_utils", "fastuuid",
)  # fmt: skip
SERVER = """
    import datetime, hashlib, ssl, warnings
    import bcrypt, fastuuid, uuid_utils, uuid_utils.compat
    import nacl.bindings, nacl.public, nacl.pwhash
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, ed448, padding, rsa, x25519, x448
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat, PublicFormat, pkcs7, pkcs12,
    )
    from cryptography.x509 import ocsp
    from flask import Flask, jsonify
    from OpenSSL import crypto

    warnings.simplefilter("ignore")
    app = Flask(__name__)
    SHA, DER, PKCS8, OPEN = hashes.SHA256(), Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    PSS = padding.PSS(padding.MGF1(SHA), 20)
    OAEP = padding.OAEP(padding.MGF1(SHA), SHA, None)
    NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "shop.test")])
    START = datetime.datetime(2026, 1, 1)
    RSA = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    EC = ec.generate_private_key(ec.SECP256R1())
    BOX = nacl.public.PrivateKey(b"k" * 32).public_key

    def written(key):
        return key.private_bytes(DER, PKCS8, OPEN)

    def signed():
        signature = EC.sign(b"message", ec.ECDSA(SHA))
        EC.public_key().verify(signature, b"message", ec.ECDSA(SHA))
        return signature

    def padded():
        signature = RSA.sign(b"message", PSS, SHA)
        RSA.public_key().verify(signature, b"message", PSS, SHA)
        return signature

    def secret():
        sent = RSA.public_key().encrypt(b"secret", OAEP)
        assert RSA.decrypt(sent, OAEP) == b"secret"
        return sent

    def certificate(key=EC):
        end = START + datetime.timedelta(9)
        builder = x509.CertificateBuilder(NAME, NAME, key.public_key(), 17, START, end)
        builder = builder.add_extension(x509.BasicConstraints(True, None), True)
        return builder.sign(key, SHA)

    def revoked():
        builder = x509.CertificateRevocationListBuilder(NAME, START, START + datetime.timedelta(1))
        return builder.sign(EC, SHA).public_bytes(DER)

    def status():
        builder = ocsp.OCSPResponseBuilder().add_response(
            certificate(), certificate(), SHA, ocsp.OCSPCertStatus.GOOD, START, None, None, None
        )
        builder = builder.responder_id(ocsp.OCSPResponderEncoding.HASH, certificate())
        return builder.sign(EC, SHA).public_bytes(DER)

    def openssl():
        key = crypto.PKey()
        assert key.generate_key(crypto.TYPE_RSA, 1024) is None
        assert key.bits() == 1024 and key.check()
        return crypto.dump_privatekey(crypto.FILETYPE_ASN1, key)

    def exchanged():
        one, other = x25519.X25519PrivateKey.generate(), x448.X448PrivateKey.generate()
        return one.exchange(one.public_key()) + other.exchange(other.public_key())

    DRAWS = {
        "RSA key": lambda: written(RSA),
        "EC key": lambda: written(ec.generate_private_key(ec.SECP384R1())),
        "DSA key": lambda: written(dsa.generate_parameters(1024).generate_private_key()),
        "Ed25519": lambda: written(ed25519.Ed25519PrivateKey.generate()),
        "Ed448": lambda: written(ed448.Ed448PrivateKey.generate()),
        "exchange": exchanged,
        "ECDSA": signed,
        "PSS": padded,
        "OAEP": secret,
        "AES key": lambda: AESGCM.generate_key(bit_length=128) + ChaCha20Poly1305.generate_key(),
        "password": lambda: EC.private_bytes(Encoding.PEM, PKCS8, BestAvailableEncryption(b"password")),
        "certificate": lambda: certificate().public_bytes(DER),
        "request": lambda: x509.CertificateSigningRequestBuilder(NAME).sign(EC, SHA).public_bytes(DER),
        "revocations": revoked,
        "status": status,
        "PKCS 7": lambda: pkcs7.PKCS7SignatureBuilder().set_data(b"data").add_signer(
            certificate(), EC, SHA
        ).sign(DER, [pkcs7.PKCS7Options.NoAttributes]),
        "PKCS 12": lambda: pkcs12.serialize_key_and_certificates(
            b"name", EC, certificate(), None, BestAvailableEncryption(b"password")
        ),
        "pyOpenSSL": openssl,
        "ssl": lambda: ssl.RAND_bytes(16),
        "bcrypt": lambda: bcrypt.hashpw(b"password", bcrypt.gensalt(4)),
        "NaCl sealed": lambda: nacl.public.SealedBox(BOX).encrypt(b"x"),
        "NaCl keys": lambda: b"".join(
            [*nacl.bindings.crypto_box_keypair(), *nacl.bindings.crypto_sign_keypair(),
             *nacl.bindings.crypto_kx_keypair(), nacl.bindings.crypto_secretstream_xchacha20poly1305_keygen()]
        ),
        "NaCl random": lambda: nacl.bindings.randombytes(16),
        "NaCl password": lambda: nacl.pwhash.argon2id.str(b"password", 1, 8192),
        "uuid_utils": lambda: repr(
            [uuid_utils.uuid4(), uuid_utils.uuid7(), uuid_utils.compat.uuid4()]
        ).encode(),
        "fastuuid": lambda: repr([fastuuid.uuid4(), fastuuid.uuid4_bulk(2), fastuuid.uuid_v1mc()]).encode(),
    }
    KINDS = {
        "certificate": lambda: type(certificate()), "key": lambda: type(RSA),
        "identifier": lambda: type(uuid_utils.uuid4()), "fast": lambda: type(fastuuid.uuid4_bulk(1)[0]),
    }

    @app.get("/")
    def index():
        drawn = {name: hashlib.sha256(draw()).hexdigest() for name, draw in DRAWS.items()}
        return jsonify(drawn | {f"kind of {name}": str(kind()) for name, kind in KINDS.items()})

    @app.get("/refused")
    def refused():
        try:
            rsa.generate_private_key(65537, 12)
        except ValueError as error:
            return str(error)

    @app.get("/fixed")
    def fixed():
        return hashlib.sha256(RSA.sign(b"message", padding.PKCS1v15(), SHA)).hexdigest()

    app.run()
"""
NAMES = re.findall(
    r'^        "([\w ]+)": ', SERVER.partition("DRAWS = {")[2].partition("KINDS = {")[0], re.MULTILINE
)


def outcome(bench: Bench) -> Verdict:
    """Record and verify some requests."""
    recorded = bench.record(
        bench.script(SERVER), visiting("/", "/refused", "/fixed"), concurrency=2, iterations=2
    )
    assert recorded.totals.statuses == {200: 12}
    return bench.verify(timeout=60).verdict


def test_what_is_drawn_in_c(bench: Bench) -> None:
    """Keys, signatures, salts, identifiers: the same in a replay; without the overlay, new ones."""
    verdict = outcome(bench)
    assert verdict.judgement is Judgement.IDENTICAL, verdict.reasons or verdict.divergences[:2]
    second = Bench(bench.path / "second")
    second.path.mkdir()
    second.host = LocalHost(overlay_without(SECTIONS, second.path / "overlay"))
    without = outcome(second)
    assert without.judgement is Judgement.DIVERGED
    first = next(one for one in without.divergences if one.target == "/")
    *shown, more = first.differences
    assert more.recorded == f"({len(NAMES) - len(shown)} more values)"  # every one, and no kind of object


CHANGED = {
    "more": ("# more", "ec.generate_private_key(ec.SECP521R1()).sign(b'x', ec.ECDSA(hashes.SHA256()))"),
    "another message": ('b"message"', 'b"another"'),
}
SIGNING = """
    import bcrypt
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from flask import Flask

    app = Flask(__name__)

    @app.get("/")
    def index():
        key = ec.generate_private_key(ec.SECP256R1())
        # more
        signature = key.sign(b"message", ec.ECDSA(hashes.SHA256()))
        key.public_key().verify(signature, b"message", ec.ECDSA(hashes.SHA256()))
        return bcrypt.gensalt() + signature

    app.run()
"""


def test_changed_code_draws_itself(bench: Bench) -> None:
    """More draws change nothing of the recorded ones; another question does not get a recorded signature."""
    recorded = bench.record(bench.script(SIGNING), visiting("/"), concurrency=2, iterations=2)
    assert recorded.totals.statuses == {200: 4}
    found = {}
    for name, (before, after) in CHANGED.items():
        bench.script(SIGNING.replace(before, after))
        verdict = bench.verify(strict=False).verdict
        found[name] = (verdict.judgement, [one.code for one in verdict.reasons])
    assert found == {"more": (Judgement.IDENTICAL, []), "another message": (Judgement.DIVERGED, [])}
