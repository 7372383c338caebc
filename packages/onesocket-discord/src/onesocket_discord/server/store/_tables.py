"""The tables of the database. A change here needs a migration in `_migration`: a test compares the two."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)


def _id_column() -> Column[int]:
    return Column("id", BigInteger, primary_key=True, autoincrement=False)


def _foreign_key(table: str, *, name: str | None = None, nullable: bool = False) -> Column[int]:
    """Refer to a row and go with it."""
    target = ForeignKey(f"{table}s.id", ondelete="CASCADE")
    return Column(name or f"{table}_id", BigInteger, target, nullable=nullable)


users = Table(
    "users",
    METADATA,
    _id_column(),
    Column("username", String(32), nullable=False),
    Column("username_key", String(128), nullable=False, unique=True),  # equal for names that count as the same
    Column("bot", Boolean, nullable=False),
    Column("password_hash", String(255)),
    Column("owner_id", BigInteger, ForeignKey("users.id", ondelete="SET NULL")),  # of a bot
    Column("username_skeleton", String(128), nullable=False, server_default=""),  # equal for names that look alike
    Column("disabled_at", Float),  # by the server's owner; it can't sign in
    Column("restricts_dms", Boolean, nullable=False, server_default=text("false")),  # to those whom it has written to
    Column(
        "bot_public", Boolean, nullable=False, server_default=text("true")
    ),  # else its owner alone adds it to guilds
    Column("denied_intents", Integer, nullable=False, server_default=text("0")),  # of a bot
    Index(None, "username_skeleton"),
)

tokens = Table(
    "tokens",
    METADATA,
    Column("hash", LargeBinary(32), primary_key=True),  # SHA-256: tokens are random, so nothing slower is needed
    _foreign_key("user"),
    Column("created_at", Float, nullable=False),
    Column("last_used_at", Float),  # to the hour; None: not since it was made
    Column("client", String(200)),  # the User-Agent that it was given to
    Index(None, "user_id"),
)

guilds = Table(
    "guilds",
    METADATA,
    _id_column(),
    Column("name", String(100), nullable=False),
    Column("owner_id", BigInteger, ForeignKey("users.id"), nullable=False),
    Column("is_default", Boolean, nullable=False),  # every account is a member from the start
    # Another number after each change of the members, never one that was there before.
    Column("members_version", BigInteger, nullable=False, server_default=text("0")),
)

members = Table(
    "members",
    METADATA,
    _foreign_key("guild"),
    _foreign_key("user"),
    Column("joined_at", Float, nullable=False),
    Column("roles", JSON(none_as_null=True)),  # ids; here, as every message shows those of its author
    PrimaryKeyConstraint("guild_id", "user_id"),
    Index(None, "user_id"),
)

roles = Table(
    "roles",
    METADATA,
    _id_column(),
    _foreign_key("guild"),
    Column("name", String(100), nullable=False),
    Column("permissions", BigInteger, nullable=False),
    Column("position", Integer, nullable=False),  # 1 is the lowest; @everyone, which has no row, has 0
    Column("color", Integer, nullable=False),
    Column("hoist", Boolean, nullable=False),
    Column("mentionable", Boolean, nullable=False),
    Column("is_moderator", Boolean, nullable=False, server_default=text("false")),  # `serve user promote` gives it
    Index(None, "guild_id"),
)

bans = Table(
    "bans",
    METADATA,
    _foreign_key("guild"),
    _foreign_key("user"),
    Column("reason", String(512)),
    PrimaryKeyConstraint("guild_id", "user_id"),
    Index(None, "user_id"),
)

relationships = Table(
    "relationships",
    METADATA,
    _foreign_key("user"),
    _foreign_key("user", name="other_id"),
    Column("type", Integer, nullable=False),  # 2: blocked
    Column("since", Float, nullable=False),
    PrimaryKeyConstraint("user_id", "other_id"),
    Index(None, "other_id"),
)

channels = Table(
    "channels",
    METADATA,
    _id_column(),
    Column("type", Integer, nullable=False),
    _foreign_key("guild", nullable=True),
    Column("name", String(100)),
    Column("topic", String(1024)),
    Column("position", Integer, nullable=False),
    Column("last_message_id", BigInteger),
    Column("last_pin_at", Float),
    Column("dm_key", String(48), unique=True),  # both ids, the smaller one first: two people have one DM
    # The largest id that a message of it ever had. Whoever stores one moves it, and so comes after those before.
    Column("sequence", BigInteger, nullable=False, server_default=text("0")),
    Index(None, "guild_id"),
)

participants = Table(
    "participants",
    METADATA,
    _foreign_key("channel"),
    _foreign_key("user"),
    PrimaryKeyConstraint("channel_id", "user_id"),
    Index(None, "user_id"),
)

messages = Table(
    "messages",
    METADATA,
    _id_column(),
    _foreign_key("channel"),
    _foreign_key("user", name="author_id"),
    Column("type", Integer, nullable=False),
    Column("content", Text, nullable=False),
    Column("nonce", String(64)),  # as JSON: 1 and "1" are two
    Column("reference_id", BigInteger),  # may have been deleted since
    Column("edited_at", Float),
    Column("pinned_at", Float),
    Column("tts", Boolean, nullable=False),
    Column("flags", Integer, nullable=False),
    Column("mention_everyone", Boolean, nullable=False),
    Column("mentions", JSON, nullable=False),  # ids of users
    Column("embeds", JSON, nullable=False),
    Column("components", JSON, nullable=False),
    Column("forward", JSON(none_as_null=True)),  # what it forwards, as it was: `message_reference`, `message_snapshots`
    Column("attachments", JSON(none_as_null=True)),  # what it says of its files
    UniqueConstraint("author_id", "channel_id", "nonce"),
    Index(None, "channel_id", "id"),
)

attachments = Table(
    "attachments",
    METADATA,
    _id_column(),
    _foreign_key("message"),
    Column("filename", String(100), nullable=False),
    Column("content_type", String(100), nullable=False),
    Column("key", String(32), nullable=False),  # who has it may read the file: it is in the address
    Column("body", LargeBinary, nullable=False),
    Index(None, "message_id"),
)

reactions = Table(
    "reactions",
    METADATA,
    _foreign_key("message"),
    Column("emoji", String(64), nullable=False),
    _foreign_key("user"),
    Column("order", BigInteger, nullable=False),  # a snowflake: which came first
    PrimaryKeyConstraint("message_id", "emoji", "user_id"),
    Index(None, "user_id"),
)

read_states = Table(
    "read_states",
    METADATA,
    _foreign_key("user"),
    _foreign_key("channel"),
    Column("last_message_id", BigInteger, nullable=False),
    PrimaryKeyConstraint("user_id", "channel_id"),
    Index(None, "channel_id"),
)

commands = Table(
    "commands",
    METADATA,
    _id_column(),
    _foreign_key("user", name="application_id"),
    Column("guild_id", BigInteger, nullable=False),  # 0: global. NULLs would not count as equal.
    Column("type", Integer, nullable=False),
    Column("name", String(32), nullable=False),
    Column("version", BigInteger, nullable=False),
    Column("body", JSON, nullable=False),
    UniqueConstraint("application_id", "guild_id", "type", "name"),
)

invites = Table(
    "invites",
    METADATA,
    Column("code", String(16), primary_key=True),
    _foreign_key("channel"),
    _foreign_key("user", name="inviter_id"),
    Column("created_at", Float, nullable=False),
    Column("max_age", Integer, nullable=False),  # seconds; 0: for ever
    Column("max_uses", Integer, nullable=False),  # 0: any number
    Column("uses", Integer, nullable=False),
    Index(None, "channel_id"),
    Index(None, "inviter_id"),
)

# What is reported stays when its message, channel or guild is deleted, so it refers to none of them.
reports = Table(
    "reports",
    METADATA,
    _id_column(),
    _foreign_key("user", name="reporter_id"),
    Column("guild_id", BigInteger),  # None: a DM
    Column("channel_id", BigInteger, nullable=False),
    Column("message_id", BigInteger, nullable=False),
    Column("author_id", BigInteger, nullable=False),
    Column("content", Text, nullable=False),
    Column("reason", String(512), nullable=False),
    Column("created_at", Float, nullable=False),
    Column("closed_at", Float),
    UniqueConstraint("reporter_id", "message_id"),
)

# Of the whole server: what stored data depends on, and what its servers have to agree on.
settings = Table(
    "settings",
    METADATA,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
)

SNOWFLAKE_TABLES = (users, guilds, channels, messages, attachments, commands, roles, reports)
