"""The tables. Times are seconds since 1970 (UTC); JSON is text, so that both databases hold the same bytes."""

from sqlalchemy import (
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(column_0_label)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

studies = Table(
    "studies",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("title", String(200), nullable=False),
    Column("state", String(16), nullable=False),  # draft, making, failed, ready, frozen, archived
    Column("design", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("frozen_at", Float),
    Column("frozen_digest", String(64)),
    Column("archived_at", Float),
    Column("open_token", String(64), unique=True),
    # Volunteers who had agreed to take part: who withdrew, and whom the experimenter deleted.
    Column("withdrawn", Integer, nullable=False, default=0),
    Column("deleted", Integer, nullable=False, default=0, server_default="0"),
    Column("made", Integer, nullable=False, default=0),
    Column("to_make", Integer, nullable=False, default=0),
    Column("note", Text, nullable=False, default=""),
    Column("worker", String(64)),
    Column("worker_at", Float),
    Column("numbered", Integer, nullable=False, default=0),  # volunteers ever given a number
)

# Every version of the consent text that any volunteer may have agreed to.
consents = Table(
    "consents",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", String(32), ForeignKey("studies.id", ondelete="CASCADE"), nullable=False),
    Column("version", Integer, nullable=False),
    Column("text", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    UniqueConstraint("study_id", "version"),
)

pairs = Table(
    "pairs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", String(32), ForeignKey("studies.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("model", String(200), nullable=False),
    Column("attack", String(32), nullable=False),
    Column("modality", String(16), nullable=False),
    Column("eps_av", Float, nullable=False),
    Column("speech", Boolean, nullable=False),
    Column("clip", String(300), nullable=False),
    Column("frames", Integer, nullable=False),
    Column("measures", Text, nullable=False),
    UniqueConstraint("study_id", "position"),
)

# Two encodings of each twin: one is shown as X, the other as A or B, so the streams of equal clips differ.
stimuli = Table(
    "stimuli",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("pair_id", Integer, ForeignKey("pairs.id", ondelete="CASCADE"), nullable=False),
    Column("twin", String(16), nullable=False),
    Column("encoding", String(16), nullable=False),  # reference (X), choice (A, B)
    Column("path", Text, nullable=False),
    Column("bytes", Integer, nullable=False),
    Column("file_sha256", String(64), nullable=False),
    Column("video_sha256", String(64), nullable=False),
    Column("audio_sha256", String(64), nullable=False),
    UniqueConstraint("pair_id", "twin", "encoding"),
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_id", String(32), ForeignKey("studies.id", ondelete="CASCADE"), nullable=False),
    Column("number", Integer, nullable=False),
    Column("token", String(64), unique=True),  # erased with age
    Column("kind", String(16), nullable=False),  # link, open, preview
    Column("slot", Integer),
    Column("step", String(16), nullable=False),  # consent, instructions, check, sound, trials, done
    Column("consent_id", Integer, ForeignKey("consents.id")),
    Column("consent_at", Float),
    Column("finished_at", Float),
    Column("seen_at", Float),
    Column("user_agent", String(400)),
    Column("hears", Boolean),  # the sound: true once it was heard, false for who says that they cannot
    Column("listens", String(16)),  # headphones or loudspeakers, if they say
    Column("created_at", Float, nullable=False),
    UniqueConstraint("study_id", "number"),
    UniqueConstraint("study_id", "slot"),
)

checks = Table(
    "checks",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session_id", Integer, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("at", Float, nullable=False),
    Column("passed", Boolean, nullable=False),
    Column("report", Text, nullable=False),
)

trials = Table(
    "trials",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session_id", Integer, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("pair_id", Integer, ForeignKey("pairs.id", ondelete="CASCADE"), nullable=False),
    Column("phase", String(16), nullable=False),
    Column("x", String(16), nullable=False),
    Column("match", String(1), nullable=False),
    Column("handle", String(64), nullable=False, unique=True),  # what the page calls this trial
    Column("media_x", String(64), nullable=False, unique=True),
    Column("media_a", String(64), nullable=False, unique=True),
    Column("media_b", String(64), nullable=False, unique=True),
    Column("opened_at", Float),
    UniqueConstraint("session_id", "position"),
)

# Of visitors who let their result be counted: how many had each.
tryouts = Table(
    "tryouts",
    metadata,
    Column("trials", Integer, primary_key=True, autoincrement=False),
    Column("correct", Integer, primary_key=True, autoincrement=False),
    Column("people", Integer, nullable=False),
)

judgments = Table(
    "judgments",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session_id", Integer, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("choice", String(1), nullable=False),
    Column("nonce", String(64), nullable=False),
    Column("at", Float, nullable=False),
    Column("response_ms", Integer),
    Column("viewport", Text, nullable=False),
    UniqueConstraint("session_id", "position"),
)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("session_id", Integer, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("page", String(32), nullable=False),
    Column("seq", Integer, nullable=False),
    Column("position", Integer),
    Column("kind", String(24), nullable=False),
    Column("role", String(1)),
    Column("clip_time", Float),
    Column("page_ms", Integer, nullable=False),
    Column("at", Float, nullable=False),
    UniqueConstraint("session_id", "page", "seq"),
)
