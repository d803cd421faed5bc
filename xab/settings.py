"""Where the XAB test keeps its things, and who may see them: environment, files, password."""

import hashlib
import hmac
import os
import re
import secrets
import stat
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import platformdirs
from itsdangerous import TimestampSigner

from .files import ROOT

SESSION_SECONDS = 12 * 3600
BROWSER_SECONDS = 180 * 86_400
# 384 bits fill their base64 characters: of a signature of 256 the last one could be changed unnoticed.
SIGNATURE = {"key_derivation": "hmac", "digest_method": hashlib.sha384}


def default_data() -> Path:
    """The user's data folder of this system; where versions before had it, if that is there and this is not."""
    now = platformdirs.user_data_path("pushpull", appauthor=False) / "xab"
    before = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "pushpull" / "xab"
    return before if before.is_dir() and not now.exists() else now


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that differs between installations.

    Args:
        data: folder of the database, stimuli and secrets; never below a served folder.
        database_url: None for the SQLite file xab.sqlite in ``data``.
        assets: folder of the clips that studies are made from.
        password: the experimenter's; None for the one that is generated at first start.
        public_url: how volunteers reach the server ("https://lab.example/"); None takes the experimenter's own address.
    """

    data: Path
    database_url: str | None = None
    assets: Path = ROOT / "assets"
    password: str | None = None
    public_url: str | None = None

    @classmethod
    def from_env(cls) -> "Settings":
        """PUSHPULL_XAB_DATA, PUSHPULL_DATABASE_URL, PUSHPULL_XAB_ASSETS, PUSHPULL_XAB_PASSWORD, PUSHPULL_PUBLIC_URL."""
        env = os.environ
        return cls(
            data=Path(env.get("PUSHPULL_XAB_DATA") or default_data()).expanduser().absolute(),
            database_url=_whole(env.get("PUSHPULL_DATABASE_URL") or None),
            assets=Path(env.get("PUSHPULL_XAB_ASSETS") or ROOT / "assets").absolute(),
            password=env.get("PUSHPULL_XAB_PASSWORD") or None,
            public_url=env.get("PUSHPULL_PUBLIC_URL") or None,
        )

    @property
    def url(self) -> str:
        return self.database_url or f"sqlite:///{self.data / 'xab.sqlite'}"

    def environment(self) -> dict[str, str]:
        """The same settings for a child process, which may run in another folder."""
        changed = {
            "PUSHPULL_XAB_DATA": str(self.data),
            "PUSHPULL_DATABASE_URL": self.database_url or "",
            "PUSHPULL_XAB_ASSETS": str(self.assets),
        }
        if detectors := os.environ.get("PUSHPULL_DETECTORS"):
            changed["PUSHPULL_DETECTORS"] = str(Path(detectors).absolute())
        return {**os.environ, **changed}

    def prepare(self) -> None:
        """Make the folder, for its owner alone.

        Raises:
            ValueError: it cannot be made, or this user may not write there.
        """
        try:
            self.data.mkdir(parents=True, exist_ok=True)
            self.data.chmod(stat.S_IRWXU)
            tempfile.TemporaryFile(dir=self.data).close()
        except OSError as error:
            raise ValueError(
                f"the XAB test cannot keep its data in {self.data}: {error.strerror}. Give this user the folder, or "
                "name another one in PUSHPULL_XAB_DATA"
            ) from error


def _whole(url: str | None) -> str | None:
    """The address of a database; that of an SQLite file leads there from every folder."""
    found = re.fullmatch(r"sqlite:///(?!/)(?!:memory:)([^?]+)(.*)", url or "")
    return f"sqlite:///{Path(found[1]).absolute()}{found[2]}" if found else url


def _private(path: Path, make) -> bytes:
    """The content of a file that only its owner reads, made once even if two processes start together."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        for _ in range(50):
            if content := path.read_bytes():
                return content
            time.sleep(0.02)  # the other process is between creating and writing it
        raise RuntimeError(f"{path} is empty: delete it and start again") from None
    with os.fdopen(handle, "wb") as file:
        content = make()
        file.write(content)
    return content


class Gate:
    """The experimenter's password and the cookie that remembers it was given.

    Cookies that were logged out are remembered as long as this process lives, a restart forgets them; a new password
    ends all.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._ended: dict[str, float] = {}  # cookies, and when they would have run out by themselves
        settings.prepare()
        self._secret = _private(settings.data / "secret", lambda: secrets.token_bytes(32))
        self._file = settings.data / "password"
        self.generated: str | None = None
        self._fixed = self._hash(settings.password, self._secret[:16]) if settings.password else None
        if not settings.password:
            _private(self._file, self._generate)

    @property
    def secret(self) -> bytes:
        return self._secret

    @property
    def _stored(self) -> bytes:
        # Read each time: `python -m xab password` works while the server runs, and ends what the old one opened.
        return self._fixed or self._file.read_bytes()

    def renew(self) -> str:
        """Replace the generated password; returns the new one, which is stored nowhere."""
        content = self._generate()
        handle, temporary = tempfile.mkstemp(dir=self._file.parent)  # only its owner reads it
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.replace(temporary, self._file)
        return self.generated

    def _generate(self) -> bytes:
        self.generated = secrets.token_urlsafe(9)
        return self._hash(self.generated, secrets.token_bytes(16))

    @staticmethod
    def _hash(password: str, salt: bytes) -> bytes:
        return salt + hashlib.scrypt(password.encode(), salt=salt, n=2**14, r=8, p=1, dklen=32)

    def admits(self, password: str) -> bool:
        return hmac.compare_digest(self._hash(password[:1000], self._stored[:16]), self._stored)

    def cookie(self) -> str:
        """A signed value that expires; a changed password ends it too."""
        # Each login's own, so that logging out ends no other one's.
        return self._signer("cookie").sign(f"experimenter-{secrets.token_hex(8)}").decode()

    def knows(self, cookie: str | None) -> bool:
        return self._signer("cookie").validate(cookie or "", max_age=SESSION_SECONDS) and cookie not in self._ended

    def end(self, cookie: str) -> None:
        """Log out: from now on the cookie opens nothing, whoever has a copy of it."""
        now = self._clock()
        self._ended = {ended: until for ended, until in self._ended.items() if until > now}
        self._ended[cookie] = now + SESSION_SECONDS

    def browser_cookie(self) -> str:
        """For a browser that gave the password: it is told from strangers by it, and admitted to nothing."""
        return self._signer("browser").sign(secrets.token_hex(8)).decode()

    def knows_browser(self, cookie: str | None) -> bool:
        """Whether the cookie is of such a browser, and the password is still the one that it gave."""
        return self._signer("browser").validate(cookie or "", max_age=BROWSER_SECONDS)

    def form_token(self, cookie: str) -> str:
        """Goes into every form of a page, so that no other site can post one."""
        return self._signer("form").get_signature(cookie).decode()

    def knows_form(self, cookie: str, token: str) -> bool:
        """Whether ``token`` is the form token of ``cookie``."""
        return self._signer("form").verify_signature(cookie, token)

    def _signer(self, purpose: str) -> TimestampSigner:
        return TimestampSigner(self._secret + self._stored, salt=f"xab {purpose}", **SIGNATURE)
