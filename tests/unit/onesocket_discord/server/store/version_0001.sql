BEGIN TRANSACTION;
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL,
    CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE channels (
    id BIGINT NOT NULL,
    type INTEGER NOT NULL,
    guild_id BIGINT,
    name VARCHAR(100),
    topic VARCHAR(1024),
    position INTEGER NOT NULL,
    last_message_id BIGINT,
    last_pin_at FLOAT,
    dm_key VARCHAR(48),
    CONSTRAINT pk_channels PRIMARY KEY (id),
    CONSTRAINT fk_channels_guild_id FOREIGN KEY(guild_id) REFERENCES guilds (id) ON DELETE CASCADE,
    CONSTRAINT uq_channels_dm_key UNIQUE (dm_key)
);
CREATE TABLE commands (
    id BIGINT NOT NULL,
    application_id BIGINT NOT NULL,
    guild_id BIGINT NOT NULL,
    type INTEGER NOT NULL,
    name VARCHAR(32) NOT NULL,
    version BIGINT NOT NULL,
    body JSON NOT NULL,
    CONSTRAINT pk_commands PRIMARY KEY (id),
    CONSTRAINT fk_commands_application_id FOREIGN KEY(application_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT uq_commands_application_id_guild_id_type_name UNIQUE (application_id, guild_id, type, name)
);
CREATE TABLE guilds (
    id BIGINT NOT NULL,
    name VARCHAR(100) NOT NULL,
    owner_id BIGINT NOT NULL,
    is_default BOOLEAN NOT NULL,
    CONSTRAINT pk_guilds PRIMARY KEY (id),
    CONSTRAINT fk_guilds_owner_id FOREIGN KEY(owner_id) REFERENCES users (id)
);
CREATE TABLE invites (
    code VARCHAR(16) NOT NULL,
    channel_id BIGINT NOT NULL,
    inviter_id BIGINT NOT NULL,
    created_at FLOAT NOT NULL,
    max_age INTEGER NOT NULL,
    max_uses INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    CONSTRAINT pk_invites PRIMARY KEY (code),
    CONSTRAINT fk_invites_channel_id FOREIGN KEY(channel_id) REFERENCES channels (id) ON DELETE CASCADE,
    CONSTRAINT fk_invites_inviter_id FOREIGN KEY(inviter_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE members (
    guild_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    joined_at FLOAT NOT NULL,
    CONSTRAINT pk_members PRIMARY KEY (guild_id, user_id),
    CONSTRAINT fk_members_guild_id FOREIGN KEY(guild_id) REFERENCES guilds (id) ON DELETE CASCADE,
    CONSTRAINT fk_members_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE messages (
    id BIGINT NOT NULL,
    channel_id BIGINT NOT NULL,
    author_id BIGINT NOT NULL,
    type INTEGER NOT NULL,
    content TEXT NOT NULL,
    nonce VARCHAR(64),
    reference_id BIGINT,
    edited_at FLOAT,
    pinned_at FLOAT,
    tts BOOLEAN NOT NULL,
    flags INTEGER NOT NULL,
    mention_everyone BOOLEAN NOT NULL,
    mentions JSON NOT NULL,
    embeds JSON NOT NULL,
    components JSON NOT NULL,
    CONSTRAINT pk_messages PRIMARY KEY (id),
    CONSTRAINT fk_messages_author_id FOREIGN KEY(author_id) REFERENCES users (id) ON DELETE CASCADE,
    CONSTRAINT fk_messages_channel_id FOREIGN KEY(channel_id) REFERENCES channels (id) ON DELETE CASCADE,
    CONSTRAINT uq_messages_author_id_channel_id_nonce UNIQUE (author_id, channel_id, nonce)
);
CREATE TABLE participants (
    channel_id BIGINT NOT NULL,
    user_id BIGINT NOT NULL,
    CONSTRAINT pk_participants PRIMARY KEY (channel_id, user_id),
    CONSTRAINT fk_participants_channel_id FOREIGN KEY(channel_id) REFERENCES channels (id) ON DELETE CASCADE,
    CONSTRAINT fk_participants_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE reactions (
    message_id BIGINT NOT NULL,
    emoji VARCHAR(64) NOT NULL,
    user_id BIGINT NOT NULL,
    "order" BIGINT NOT NULL,
    CONSTRAINT pk_reactions PRIMARY KEY (message_id, emoji, user_id),
    CONSTRAINT fk_reactions_message_id FOREIGN KEY(message_id) REFERENCES messages (id) ON DELETE CASCADE,
    CONSTRAINT fk_reactions_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE read_states (
    user_id BIGINT NOT NULL,
    channel_id BIGINT NOT NULL,
    last_message_id BIGINT NOT NULL,
    CONSTRAINT pk_read_states PRIMARY KEY (user_id, channel_id),
    CONSTRAINT fk_read_states_channel_id FOREIGN KEY(channel_id) REFERENCES channels (id) ON DELETE CASCADE,
    CONSTRAINT fk_read_states_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
CREATE TABLE tokens (
    hash BLOB NOT NULL,
    user_id BIGINT NOT NULL,
    created_at FLOAT NOT NULL,
    CONSTRAINT pk_tokens PRIMARY KEY (hash),
    CONSTRAINT fk_tokens_user_id FOREIGN KEY(user_id) REFERENCES users (id) ON DELETE CASCADE
);
INSERT INTO "tokens" VALUES(X'00',1,1.5);
CREATE TABLE users (
    id BIGINT NOT NULL,
    username VARCHAR(32) NOT NULL,
    username_key VARCHAR(128) NOT NULL,
    bot BOOLEAN NOT NULL,
    password_hash VARCHAR(255),
    owner_id BIGINT,
    CONSTRAINT pk_users PRIMARY KEY (id),
    CONSTRAINT fk_users_owner_id FOREIGN KEY(owner_id) REFERENCES users (id) ON DELETE SET NULL,
    CONSTRAINT uq_users_username_key UNIQUE (username_key)
);
INSERT INTO "users" VALUES(1,'ann','ann',0,'x',NULL);
CREATE INDEX ix_tokens_user_id ON tokens (user_id);
CREATE INDEX ix_channels_guild_id ON channels (guild_id);
CREATE INDEX ix_members_user_id ON members (user_id);
CREATE INDEX ix_invites_channel_id ON invites (channel_id);
CREATE INDEX ix_invites_inviter_id ON invites (inviter_id);
CREATE INDEX ix_messages_channel_id_id ON messages (channel_id, id);
CREATE INDEX ix_participants_user_id ON participants (user_id);
CREATE INDEX ix_read_states_channel_id ON read_states (channel_id);
CREATE INDEX ix_reactions_user_id ON reactions (user_id);
COMMIT;
