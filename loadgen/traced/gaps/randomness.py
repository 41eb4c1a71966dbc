"""Gaps of randomness: what libraries in C and Rust draw from generators of their own.

Each function that draws becomes a call that returns plain values, such as the bytes of a private key: they
are on the tape, and a replay makes the same object of them. Nothing else of these libraries is traced.

The arguments are described on the tape, too: a recorded signature is given to the same data only.
"""

from __future__ import annotations

import hashlib
import re
import sys
import threading
from functools import wraps
from importlib import import_module
from typing import TYPE_CHECKING, Any

from loadgen.traced.installing import unseen

if TYPE_CHECKING:
    from collections.abc import Callable

_TRACED = "internal"
"""State of the engine's gate while a thread runs the application's own code."""
_PLAIN = (bytes, str, int, type(None))
_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_SERIALIZATION = "cryptography.hazmat.primitives.serialization"


def drawing(
    target: Callable[..., Any],
    system: Any,
    name: str = "",
    *,
    pack: Callable[[Any], Any] = lambda made: made,
    unpack: Callable[..., Any] = lambda packed, *_: packed,
    draws: Callable[..., bool] = lambda *_args, **_named: True,
) -> Callable[..., Any]:
    """Return *target*, a function that draws; what it returns comes from the tape. A ``system_wrap``.

    *pack* makes plain values of a result; *unpack* makes a result of them, and gets the arguments, too. The
    call is recorded if it is one that *draws*.
    """
    call, location, replays = threading.local(), system.gate.get, system.retrace_mode == "replay"

    def draw(*_told: Any) -> Any:
        call.made = target(*call.given, **call.named)
        return pack(call.made)

    module, _, draw.__qualname__ = (name or f"{target.__module__}.{target.__name__}").rpartition(".")
    draw.__module__, draw.__name__ = module, draw.__qualname__
    recorded, made_of = system.patch_function(draw), system.disable_for(unpack, unwrap_args=False)
    told = system.disable_for(_described, unwrap_args=False)

    @unseen
    @wraps(target)
    def drawn(*given: Any, **named: Any) -> Any:
        if location() != _TRACED or not draws(*given, **named):
            return target(*given, **named)
        call.given, call.named, call.made = given, named, None
        try:
            packed = recorded(*told(given, named))
            return made_of(packed, *given) if replays else call.made
        finally:
            call.given = call.named = call.made = None

    return drawn


def _described(given: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    return (*map(_told, given), *(f"{name}={_told(value)}" for name, value in named.items()))


def _told(value: Any, depth: int = 6) -> Any:
    """Describe an argument by plain values: another one has to be another question."""
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, (bytearray, memoryview)):
        return bytes(value)
    name = type(value).__qualname__
    if name.endswith(("PrivateKey", "PublicKey")):
        public = value.public_key() if hasattr(value, "public_key") else value
        form = import_module(_SERIALIZATION)
        content = public.public_bytes(form.Encoding.DER, form.PublicFormat.SubjectPublicKeyInfo)
        return f"{name} {hashlib.sha256(content).hexdigest()}"
    if isinstance(value, (list, tuple)):
        parts = value
    elif (parts := list(getattr(value, "__dict__", {}).values())) or _ADDRESS.search(text := repr(value)):
        pass
    else:
        return text
    return f"{name}({', '.join(str(_told(one, depth - 1)) for one in parts)})" if depth else name


# ---- cryptography ----------------------------------------------------------------------------------------


def openssl(target: Any, system: Any) -> Any:
    """``cryptography``'s OpenSSL: keys, signatures, encryption with a public key, keys that are written."""
    for name, part in vars(target).items():
        for function, draw in list(getattr(part, "__dict__", {}).items()):
            if isinstance(draw, type):
                _draw_in(draw, f"cryptography.{name}", target, system)
            elif function.startswith("generate_"):
                how = _PARAMETERS.get(name) if function == "generate_parameters" else _key(target)
                if how is not None:
                    setattr(part, function, drawing(draw, system, f"cryptography.{name}.{function}", **how))
    return target


def _draw_in(kind: type, name: str, library: Any, system: Any) -> None:
    """Replace the methods of a class that draw."""
    for method, how in _METHODS.items():
        stock = vars(kind).get(method)
        if stock is None or (method == "sign" and not kind.__name__.startswith(_SIGNING)):
            continue
        made = _key(library) if method == "generate_private_key" else how
        if isinstance(stock, staticmethod):
            stock = stock.__func__
        drawn: Any = drawing(stock, system, f"{name}.{kind.__name__}.{method}", **made)
        setattr(kind, method, staticmethod(drawn) if isinstance(vars(kind)[method], staticmethod) else drawn)


def _key(library: Any) -> dict[str, Callable[..., Any]]:
    """Return how a private key is packed."""

    def pack(key: Any) -> bytes:
        form = import_module(_SERIALIZATION)
        content: bytes = key.private_bytes(form.Encoding.DER, form.PrivateFormat.PKCS8, form.NoEncryption())
        return content

    return {"pack": pack, "unpack": lambda packed, *_: library.keys.load_der_private_key(packed, None)}


def _dsa_numbers(parameters: Any) -> tuple[int, int, int]:
    numbers = parameters.parameter_numbers()
    return numbers.p, numbers.q, numbers.g


def _dh_numbers(parameters: Any) -> tuple[int, int, int | None]:
    numbers = parameters.parameter_numbers()
    return numbers.p, numbers.g, numbers.q


def _of_numbers(kind: str) -> Callable[..., Any]:
    def parameters(numbers: Any, *_given: Any) -> Any:
        module = import_module(f"cryptography.hazmat.primitives.asymmetric.{kind.lower()}")
        return getattr(module, f"{kind}ParameterNumbers")(*numbers).parameters()

    return parameters


_PARAMETERS: dict[str, dict[str, Any]] = {
    "dsa": {"pack": _dsa_numbers, "unpack": _of_numbers("DSA")},
    "dh": {"pack": _dh_numbers, "unpack": _of_numbers("DH")},
}
_SIGNING = ("RSA", "EC", "DSA", "MLDSA")
"""Classes of keys whose signatures contain something random."""


def _is_random(*given: Any, **named: Any) -> bool:
    """Whether a signature draws: those with PKCS #1's older padding do not."""
    return not any(type(one).__name__ == "PKCS1v15" for one in (*given, *named.values()))


def _is_encrypted(*given: Any, **named: Any) -> bool:
    return not any(type(one).__name__ == "NoEncryption" for one in (*given, *named.values()))


_METHODS: dict[str, dict[str, Any]] = {
    "generate_private_key": {},
    "generate_key": {},
    "sign": {"draws": _is_random},
    "encrypt": {},
    "encapsulate": {},
    "private_bytes": {"draws": _is_encrypted},
}


def x509(target: Any, system: Any) -> Any:
    """``cryptography``'s certificates and requests: their signatures."""
    for kind in ("certificate", "csr", "crl"):
        load = getattr(target, f"load_der_x509_{kind}")
        _draw_encoded(target, f"create_x509_{kind}", load, system)
    return target


def ocsp(target: Any, system: Any) -> Any:
    """``cryptography``'s answers about certificates: their signatures."""
    _draw_encoded(target, "create_ocsp_response", target.load_der_ocsp_response, system)
    return target


def _draw_encoded(module: Any, name: str, load: Callable[[bytes], Any], system: Any) -> None:
    def pack(made: Any) -> bytes:
        content: bytes = made.public_bytes(import_module(_SERIALIZATION).Encoding.DER)
        return content

    stock = getattr(module, name)
    unpack = lambda packed, *_: load(packed)  # noqa: E731
    setattr(module, name, drawing(stock, system, f"cryptography.{name}", pack=pack, unpack=unpack))


def containers(target: Any, system: Any) -> Any:
    """``cryptography``'s PKCS #7 and #12: bytes."""
    for name in (
        "serialize_key_and_certificates",
        "serialize_java_truststore",
        "sign_and_serialize",
        "encrypt_and_serialize",
    ):
        if hasattr(target, name):
            setattr(target, name, drawing(getattr(target, name), system, f"cryptography.{name}"))
    return target


# ---- others ----------------------------------------------------------------------------------------------


def pyopenssl(target: Any, system: Any) -> Any:
    """``OpenSSL.crypto.PKey``: its ``generate_key``, which changes the object."""
    library = sys.modules[target.__module__]

    def generate(key: Any, *given: Any, **named: Any) -> Any:
        stock(key, *given, **named)
        return key

    def unpack(packed: bytes, key: Any, *_given: Any) -> Any:
        vars(key).update(vars(library.load_privatekey(library.FILETYPE_ASN1, packed)))
        return key

    stock = target.generate_key
    drawn = drawing(
        generate, system, "OpenSSL.crypto.PKey.generate_key",
        pack=lambda key: library.dump_privatekey(library.FILETYPE_ASN1, key), unpack=unpack,
    )  # fmt: skip

    def generate_key(self: Any, type: int, bits: int) -> None:  # noqa: A002 - its name
        drawn(self, type, bits)

    target.generate_key = generate_key
    return target


def identifier(target: Callable[..., Any], system: Any) -> Callable[..., Any]:
    """A function of ``uuid_utils`` or ``fastuuid`` that returns identifiers of a class of its own."""

    def pack(made: Any) -> Any:
        return [one.bytes for one in made] if isinstance(made, list) else made.bytes

    def unpack(packed: Any, *_given: Any) -> Any:
        kind = sys.modules[target.__module__.partition(".")[0]].UUID
        return [kind(bytes=one) for one in packed] if isinstance(packed, list) else kind(bytes=packed)

    return drawing(target, system, pack=pack, unpack=unpack)
