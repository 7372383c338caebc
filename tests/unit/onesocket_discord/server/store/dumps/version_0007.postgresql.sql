CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.attachments (
    id bigint NOT NULL,
    message_id bigint NOT NULL,
    filename character varying(100) NOT NULL,
    content_type character varying(100) NOT NULL,
    key character varying(32) NOT NULL,
    body bytea NOT NULL
);
CREATE TABLE public.bans (
    guild_id bigint NOT NULL,
    user_id bigint NOT NULL,
    reason character varying(512)
);
CREATE TABLE public.channels (
    id bigint NOT NULL,
    type integer NOT NULL,
    guild_id bigint,
    name character varying(100),
    topic character varying(1024),
    "position" integer NOT NULL,
    last_message_id bigint,
    last_pin_at double precision,
    dm_key character varying(48),
    sequence bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.commands (
    id bigint NOT NULL,
    application_id bigint NOT NULL,
    guild_id bigint NOT NULL,
    type integer NOT NULL,
    name character varying(32) NOT NULL,
    version bigint NOT NULL,
    body json NOT NULL
);
CREATE TABLE public.guilds (
    id bigint NOT NULL,
    name character varying(100) NOT NULL,
    owner_id bigint NOT NULL,
    is_default boolean NOT NULL,
    members_version bigint DEFAULT 0 NOT NULL
);
CREATE TABLE public.invites (
    code character varying(16) NOT NULL,
    channel_id bigint NOT NULL,
    inviter_id bigint NOT NULL,
    created_at double precision NOT NULL,
    max_age integer NOT NULL,
    max_uses integer NOT NULL,
    uses integer NOT NULL
);
CREATE TABLE public.members (
    guild_id bigint NOT NULL,
    user_id bigint NOT NULL,
    joined_at double precision NOT NULL,
    roles json
);
CREATE TABLE public.messages (
    id bigint NOT NULL,
    channel_id bigint NOT NULL,
    author_id bigint NOT NULL,
    type integer NOT NULL,
    content text NOT NULL,
    nonce character varying(64),
    reference_id bigint,
    edited_at double precision,
    pinned_at double precision,
    tts boolean NOT NULL,
    flags integer NOT NULL,
    mention_everyone boolean NOT NULL,
    mentions json NOT NULL,
    embeds json NOT NULL,
    components json NOT NULL,
    forward json,
    attachments json
);
CREATE TABLE public.participants (
    channel_id bigint NOT NULL,
    user_id bigint NOT NULL
);
CREATE TABLE public.reactions (
    message_id bigint NOT NULL,
    emoji character varying(64) NOT NULL,
    user_id bigint NOT NULL,
    "order" bigint NOT NULL
);
CREATE TABLE public.read_states (
    user_id bigint NOT NULL,
    channel_id bigint NOT NULL,
    last_message_id bigint NOT NULL
);
CREATE TABLE public.relationships (
    user_id bigint NOT NULL,
    other_id bigint NOT NULL,
    type integer NOT NULL,
    since double precision NOT NULL
);
CREATE TABLE public.reports (
    id bigint NOT NULL,
    reporter_id bigint NOT NULL,
    guild_id bigint,
    channel_id bigint NOT NULL,
    message_id bigint NOT NULL,
    author_id bigint NOT NULL,
    content text NOT NULL,
    reason character varying(512) NOT NULL,
    created_at double precision NOT NULL,
    closed_at double precision
);
CREATE TABLE public.roles (
    id bigint NOT NULL,
    guild_id bigint NOT NULL,
    name character varying(100) NOT NULL,
    permissions bigint NOT NULL,
    "position" integer NOT NULL,
    color integer NOT NULL,
    hoist boolean NOT NULL,
    mentionable boolean NOT NULL
);
CREATE TABLE public.tokens (
    hash bytea NOT NULL,
    user_id bigint NOT NULL,
    created_at double precision NOT NULL,
    last_used_at double precision,
    client character varying(200)
);
CREATE TABLE public.users (
    id bigint NOT NULL,
    username character varying(32) NOT NULL,
    username_key character varying(128) NOT NULL,
    bot boolean NOT NULL,
    password_hash character varying(255),
    owner_id bigint,
    username_skeleton character varying(128) DEFAULT ''::character varying NOT NULL,
    disabled_at double precision,
    restricts_dms boolean DEFAULT false NOT NULL
);
INSERT INTO public.alembic_version VALUES ('0007');
INSERT INTO public.attachments VALUES (1593540492656652299, 1593540492656652300, 'a_ü.txt', 'text/plain', 'nn3NOiSyQZbM-mY977am6g', '\x0066696c65ff');
INSERT INTO public.bans VALUES (1593540492656652291, 1593540240998412295, 'noise');
INSERT INTO public.channels VALUES (1593540492656652292, 0, 1593540492656652291, 'general', NULL, 0, 1593540492656652295, NULL, NULL, 1593540492656652295);
INSERT INTO public.channels VALUES (1593540492656652296, 1, NULL, NULL, NULL, 0, 1593540492656652297, NULL, '1593540240998412291:1593540240998412293', 1593540492656652297);
INSERT INTO public.channels VALUES (1593540240998412290, 0, 1593540240998412289, 'general', NULL, 0, 1593540492656652300, 1800000060, NULL, 1593540492656652300);
INSERT INTO public.commands VALUES (1593540492656652298, 1593540240998412295, 0, 1, 'ping', 1593540492656652298, '{"name": "ping", "type": 1, "name_localizations": null, "description": "d", "description_localizations": null, "options": [], "default_member_permissions": null, "dm_permission": true, "contexts": null, "integration_types": [0], "nsfw": false, "handler": null}');
INSERT INTO public.guilds VALUES (1593540240998412289, 'onesocket', 1593540240998412291, true, 1593540240998412296);
INSERT INTO public.guilds VALUES (1593540492656652291, 'workshop', 1593540240998412291, false, 1593540492656652294);
INSERT INTO public.invites VALUES ('c3B6eUck', 1593540492656652292, 1593540240998412291, 1800000060, 86400, 0, 1);
INSERT INTO public.members VALUES (1593540240998412289, 1593540240998412291, 1800000000, NULL);
INSERT INTO public.members VALUES (1593540492656652291, 1593540240998412291, 1800000060, NULL);
INSERT INTO public.members VALUES (1593540492656652291, 1593540240998412293, 1800000060, NULL);
INSERT INTO public.members VALUES (1593540240998412289, 1593540240998412293, 1800000000, '[1593540492657623040]');
INSERT INTO public.members VALUES (1593540240998412289, 1593540240998412295, 1800000000, '[1593540492657623041]');
INSERT INTO public.messages VALUES (1593540492656652288, 1593540240998412290, 1593540240998412293, 19, 'a reply to <@1593540240998412291>', '"n1"', 1593540240998412297, NULL, NULL, false, 0, false, '[1593540240998412291]', '[]', '[]', NULL, NULL);
INSERT INTO public.messages VALUES (1593540492656652289, 1593540240998412290, 1593540240998412295, 0, '', NULL, NULL, NULL, NULL, false, 0, false, '[]', '[{"type": "rich", "title": "an embed", "description": "d"}]', '[{"type": 1, "components": [{"type": 2, "style": 1, "label": "ok", "custom_id": "x"}]}]', NULL, NULL);
INSERT INTO public.messages VALUES (1593540240998412297, 1593540240998412290, 1593540240998412291, 0, 'first, edited', NULL, NULL, 1800000060, 1800000060, false, 0, false, '[]', '[]', '[]', NULL, NULL);
INSERT INTO public.messages VALUES (1593540492656652295, 1593540492656652292, 1593540240998412293, 0, 'hello
workshop; it''s "quoted"', NULL, NULL, NULL, NULL, false, 0, false, '[]', '[]', '[]', NULL, NULL);
INSERT INTO public.messages VALUES (1593540492656652297, 1593540492656652296, 1593540240998412291, 0, 'between us', NULL, NULL, NULL, NULL, false, 0, false, '[]', '[]', '[]', NULL, NULL);
INSERT INTO public.messages VALUES (1593540492656652300, 1593540240998412290, 1593540240998412291, 0, 'with a file', NULL, NULL, NULL, NULL, false, 0, false, '[]', '[]', '[]', NULL, '[{"id": "1593540492656652299", "filename": "a_\u00fc.txt", "size": 6, "content_type": "text/plain", "key": "nn3NOiSyQZbM-mY977am6g"}]');
INSERT INTO public.participants VALUES (1593540492656652296, 1593540240998412291);
INSERT INTO public.participants VALUES (1593540492656652296, 1593540240998412293);
INSERT INTO public.reactions VALUES (1593540240998412297, '👍', 1593540240998412293, 1593540492656652290);
INSERT INTO public.read_states VALUES (1593540240998412293, 1593540240998412290, 1593540492656652288);
INSERT INTO public.read_states VALUES (1593540240998412293, 1593540492656652292, 1593540492656652295);
INSERT INTO public.read_states VALUES (1593540240998412291, 1593540492656652296, 1593540492656652297);
INSERT INTO public.read_states VALUES (1593540240998412291, 1593540240998412290, 1593540492656652300);
INSERT INTO public.relationships VALUES (1593540240998412293, 1593540240998412295, 2, 1800000000);
INSERT INTO public.roles VALUES (1593540492657623040, 1593540240998412289, 'moderator', 2215078999, 2, 0, true, false);
INSERT INTO public.roles VALUES (1593540492657623041, 1593540240998412289, 'moderator', 8, 1, 0, false, false);
INSERT INTO public.tokens VALUES ('\x0c967dc2bf7897bd36a8bdd379084273680ab4c06f5b6ae2633bfe376ad64158', 1593540240998412291, 1800000000, NULL, '');
INSERT INTO public.tokens VALUES ('\x3540d147012a0dd92073f9d225b085d75e76f32d15a0b524d3d95e1c2eb6f75c', 1593540240998412293, 1800000000, NULL, '');
INSERT INTO public.tokens VALUES ('\xe8154256475fae62588e1e9d4395b9b76247fb4ed44989196b66c1d9120d1a0c', 1593540240998412295, 1800000000, NULL, '');
INSERT INTO public.tokens VALUES ('\x5c6d6a5579a3ed644c0cf18220cb8a7c0d2598c89bcb01cc3c2231d99fbd824f', 1593540240998412291, 1800000000, NULL, '');
INSERT INTO public.tokens VALUES ('\x1f847fa3e8981c4df52ab734f3730ca8a9e62527595c198d2e2c70827dbab18c', 1593540240998412293, 1800000000, NULL, '');
INSERT INTO public.users VALUES (1593540240998412288, 'onesocket', 'onesocket', true, NULL, 1593540240998412288, 'onesocket', NULL, false);
INSERT INTO public.users VALUES (1593540240998412291, 'ann', 'ann', false, '$argon2id$v=19$m=8,t=1,p=1$M/uqM5jdodU$jUW/kg', NULL, 'ann', NULL, false);
INSERT INTO public.users VALUES (1593540240998412295, 'robo', 'robo', true, NULL, 1593540240998412291, 'robo', NULL, false);
INSERT INTO public.users VALUES (1593540240998412293, 'Bob ü', 'bob ü', false, '$argon2id$v=19$m=8,t=1,p=1$oPzULHQHM5A$t+HTMg', NULL, 'bob ü', NULL, true);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkey PRIMARY KEY (version_num);
ALTER TABLE ONLY public.attachments
    ADD CONSTRAINT pk_attachments PRIMARY KEY (id);
ALTER TABLE ONLY public.bans
    ADD CONSTRAINT pk_bans PRIMARY KEY (guild_id, user_id);
ALTER TABLE ONLY public.channels
    ADD CONSTRAINT pk_channels PRIMARY KEY (id);
ALTER TABLE ONLY public.commands
    ADD CONSTRAINT pk_commands PRIMARY KEY (id);
ALTER TABLE ONLY public.guilds
    ADD CONSTRAINT pk_guilds PRIMARY KEY (id);
ALTER TABLE ONLY public.invites
    ADD CONSTRAINT pk_invites PRIMARY KEY (code);
ALTER TABLE ONLY public.members
    ADD CONSTRAINT pk_members PRIMARY KEY (guild_id, user_id);
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT pk_messages PRIMARY KEY (id);
ALTER TABLE ONLY public.participants
    ADD CONSTRAINT pk_participants PRIMARY KEY (channel_id, user_id);
ALTER TABLE ONLY public.reactions
    ADD CONSTRAINT pk_reactions PRIMARY KEY (message_id, emoji, user_id);
ALTER TABLE ONLY public.read_states
    ADD CONSTRAINT pk_read_states PRIMARY KEY (user_id, channel_id);
ALTER TABLE ONLY public.relationships
    ADD CONSTRAINT pk_relationships PRIMARY KEY (user_id, other_id);
ALTER TABLE ONLY public.reports
    ADD CONSTRAINT pk_reports PRIMARY KEY (id);
ALTER TABLE ONLY public.roles
    ADD CONSTRAINT pk_roles PRIMARY KEY (id);
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT pk_tokens PRIMARY KEY (hash);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT pk_users PRIMARY KEY (id);
ALTER TABLE ONLY public.channels
    ADD CONSTRAINT uq_channels_dm_key UNIQUE (dm_key);
ALTER TABLE ONLY public.commands
    ADD CONSTRAINT uq_commands_application_id_guild_id_type_name UNIQUE (application_id, guild_id, type, name);
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT uq_messages_author_id_channel_id_nonce UNIQUE (author_id, channel_id, nonce);
ALTER TABLE ONLY public.reports
    ADD CONSTRAINT uq_reports_reporter_id_message_id UNIQUE (reporter_id, message_id);
ALTER TABLE ONLY public.users
    ADD CONSTRAINT uq_users_username_key UNIQUE (username_key);
CREATE INDEX ix_attachments_message_id ON public.attachments USING btree (message_id);
CREATE INDEX ix_bans_user_id ON public.bans USING btree (user_id);
CREATE INDEX ix_channels_guild_id ON public.channels USING btree (guild_id);
CREATE INDEX ix_invites_channel_id ON public.invites USING btree (channel_id);
CREATE INDEX ix_invites_inviter_id ON public.invites USING btree (inviter_id);
CREATE INDEX ix_members_user_id ON public.members USING btree (user_id);
CREATE INDEX ix_messages_channel_id_id ON public.messages USING btree (channel_id, id);
CREATE INDEX ix_participants_user_id ON public.participants USING btree (user_id);
CREATE INDEX ix_reactions_user_id ON public.reactions USING btree (user_id);
CREATE INDEX ix_read_states_channel_id ON public.read_states USING btree (channel_id);
CREATE INDEX ix_relationships_other_id ON public.relationships USING btree (other_id);
CREATE INDEX ix_roles_guild_id ON public.roles USING btree (guild_id);
CREATE INDEX ix_tokens_user_id ON public.tokens USING btree (user_id);
CREATE INDEX ix_users_username_skeleton ON public.users USING btree (username_skeleton);
ALTER TABLE ONLY public.attachments
    ADD CONSTRAINT fk_attachments_message_id FOREIGN KEY (message_id) REFERENCES public.messages(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.bans
    ADD CONSTRAINT fk_bans_guild_id FOREIGN KEY (guild_id) REFERENCES public.guilds(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.bans
    ADD CONSTRAINT fk_bans_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.channels
    ADD CONSTRAINT fk_channels_guild_id FOREIGN KEY (guild_id) REFERENCES public.guilds(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.commands
    ADD CONSTRAINT fk_commands_application_id FOREIGN KEY (application_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.guilds
    ADD CONSTRAINT fk_guilds_owner_id FOREIGN KEY (owner_id) REFERENCES public.users(id);
ALTER TABLE ONLY public.invites
    ADD CONSTRAINT fk_invites_channel_id FOREIGN KEY (channel_id) REFERENCES public.channels(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.invites
    ADD CONSTRAINT fk_invites_inviter_id FOREIGN KEY (inviter_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.members
    ADD CONSTRAINT fk_members_guild_id FOREIGN KEY (guild_id) REFERENCES public.guilds(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.members
    ADD CONSTRAINT fk_members_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT fk_messages_author_id FOREIGN KEY (author_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.messages
    ADD CONSTRAINT fk_messages_channel_id FOREIGN KEY (channel_id) REFERENCES public.channels(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.participants
    ADD CONSTRAINT fk_participants_channel_id FOREIGN KEY (channel_id) REFERENCES public.channels(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.participants
    ADD CONSTRAINT fk_participants_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.reactions
    ADD CONSTRAINT fk_reactions_message_id FOREIGN KEY (message_id) REFERENCES public.messages(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.reactions
    ADD CONSTRAINT fk_reactions_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.read_states
    ADD CONSTRAINT fk_read_states_channel_id FOREIGN KEY (channel_id) REFERENCES public.channels(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.read_states
    ADD CONSTRAINT fk_read_states_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.relationships
    ADD CONSTRAINT fk_relationships_other_id FOREIGN KEY (other_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.relationships
    ADD CONSTRAINT fk_relationships_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.reports
    ADD CONSTRAINT fk_reports_reporter_id FOREIGN KEY (reporter_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.roles
    ADD CONSTRAINT fk_roles_guild_id FOREIGN KEY (guild_id) REFERENCES public.guilds(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT fk_tokens_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.users
    ADD CONSTRAINT fk_users_owner_id FOREIGN KEY (owner_id) REFERENCES public.users(id) ON DELETE SET NULL;
