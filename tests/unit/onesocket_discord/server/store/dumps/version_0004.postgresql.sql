CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
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
    joined_at double precision NOT NULL
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
    forward json
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
    owner_id bigint
);
INSERT INTO public.alembic_version VALUES ('0004');
INSERT INTO public.channels VALUES (1593540241000771586, 0, 1593540241000771585, 'general', NULL, 0, 1593540492659011585, 1800000060, NULL, 1593540492659011585);
INSERT INTO public.channels VALUES (1593540492659011588, 0, 1593540492659011587, 'general', NULL, 0, 1593540492659011591, NULL, NULL, 1593540492659011591);
INSERT INTO public.channels VALUES (1593540492659011592, 1, NULL, NULL, NULL, 0, 1593540492659011593, NULL, '1593540241000771587:1593540241000771589', 1593540492659011593);
INSERT INTO public.commands VALUES (1593540492659011594, 1593540241000771591, 0, 1, 'ping', 1593540492659011594, '{"name": "ping", "type": 1, "name_localizations": null, "description": "d", "description_localizations": null, "options": [], "default_member_permissions": null, "dm_permission": true, "contexts": null, "integration_types": [0], "nsfw": false, "handler": null}');
INSERT INTO public.guilds VALUES (1593540241000771585, 'onesocket', 1593540241000771587, true, 1593540241000771592);
INSERT INTO public.guilds VALUES (1593540492659011587, 'workshop', 1593540241000771587, false, 1593540492659011590);
INSERT INTO public.invites VALUES ('QHEE1Lxr', 1593540492659011588, 1593540241000771587, 1800000060, 86400, 0, 1);
INSERT INTO public.members VALUES (1593540241000771585, 1593540241000771587, 1800000000);
INSERT INTO public.members VALUES (1593540241000771585, 1593540241000771589, 1800000000);
INSERT INTO public.members VALUES (1593540241000771585, 1593540241000771591, 1800000000);
INSERT INTO public.members VALUES (1593540492659011587, 1593540241000771587, 1800000060);
INSERT INTO public.members VALUES (1593540492659011587, 1593540241000771589, 1800000060);
INSERT INTO public.messages VALUES (1593540492659011584, 1593540241000771586, 1593540241000771589, 19, 'a reply to <@1593540241000771587>', '"n1"', 1593540241000771593, NULL, NULL, false, 0, false, '[1593540241000771587]', '[]', '[]', NULL);
INSERT INTO public.messages VALUES (1593540492659011585, 1593540241000771586, 1593540241000771591, 0, '', NULL, NULL, NULL, NULL, false, 0, false, '[]', '[{"type": "rich", "title": "an embed", "description": "d"}]', '[{"type": 1, "components": [{"type": 2, "style": 1, "label": "ok", "custom_id": "x"}]}]', NULL);
INSERT INTO public.messages VALUES (1593540241000771593, 1593540241000771586, 1593540241000771587, 0, 'first, edited', NULL, NULL, 1800000060, 1800000060, false, 0, false, '[]', '[]', '[]', NULL);
INSERT INTO public.messages VALUES (1593540492659011591, 1593540492659011588, 1593540241000771589, 0, 'hello
workshop; it''s "quoted"', NULL, NULL, NULL, NULL, false, 0, false, '[]', '[]', '[]', NULL);
INSERT INTO public.messages VALUES (1593540492659011593, 1593540492659011592, 1593540241000771587, 0, 'between us', NULL, NULL, NULL, NULL, false, 0, false, '[]', '[]', '[]', NULL);
INSERT INTO public.participants VALUES (1593540492659011592, 1593540241000771587);
INSERT INTO public.participants VALUES (1593540492659011592, 1593540241000771589);
INSERT INTO public.reactions VALUES (1593540241000771593, '👍', 1593540241000771589, 1593540492659011586);
INSERT INTO public.read_states VALUES (1593540241000771589, 1593540241000771586, 1593540492659011584);
INSERT INTO public.read_states VALUES (1593540241000771589, 1593540492659011588, 1593540492659011591);
INSERT INTO public.read_states VALUES (1593540241000771587, 1593540492659011592, 1593540492659011593);
INSERT INTO public.read_states VALUES (1593540241000771587, 1593540241000771586, 1593540492659011584);
INSERT INTO public.tokens VALUES ('\xcdc15ddc7cdfcc952c0b253d99f1541f847262ea1635f9f4af437696210127c5', 1593540241000771587, 1800000000, NULL, '');
INSERT INTO public.tokens VALUES ('\x619b9477026b0eb7389ff31e088af30f995a3fbaeff01691a0415eaf6ca93ed0', 1593540241000771589, 1800000000, NULL, '');
INSERT INTO public.tokens VALUES ('\x714e5653f0f081d397a4a8590bf145012956fff5bdc6e123709dd7b0fa3c3006', 1593540241000771591, 1800000000, NULL, '');
INSERT INTO public.users VALUES (1593540241000771584, 'onesocket', 'onesocket', true, NULL, 1593540241000771584);
INSERT INTO public.users VALUES (1593540241000771587, 'ann', 'ann', false, '$argon2id$v=19$m=8,t=1,p=1$M2lvthDQ/wM$BK3b/w', NULL);
INSERT INTO public.users VALUES (1593540241000771589, 'Bob ü', 'bob ü', false, '$argon2id$v=19$m=8,t=1,p=1$nuaOb7mS+KU$J6VIHQ', NULL);
INSERT INTO public.users VALUES (1593540241000771591, 'robo', 'robo', true, NULL, 1593540241000771587);
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkey PRIMARY KEY (version_num);
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
ALTER TABLE ONLY public.users
    ADD CONSTRAINT uq_users_username_key UNIQUE (username_key);
CREATE INDEX ix_channels_guild_id ON public.channels USING btree (guild_id);
CREATE INDEX ix_invites_channel_id ON public.invites USING btree (channel_id);
CREATE INDEX ix_invites_inviter_id ON public.invites USING btree (inviter_id);
CREATE INDEX ix_members_user_id ON public.members USING btree (user_id);
CREATE INDEX ix_messages_channel_id_id ON public.messages USING btree (channel_id, id);
CREATE INDEX ix_participants_user_id ON public.participants USING btree (user_id);
CREATE INDEX ix_reactions_user_id ON public.reactions USING btree (user_id);
CREATE INDEX ix_read_states_channel_id ON public.read_states USING btree (channel_id);
CREATE INDEX ix_tokens_user_id ON public.tokens USING btree (user_id);
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
ALTER TABLE ONLY public.tokens
    ADD CONSTRAINT fk_tokens_user_id FOREIGN KEY (user_id) REFERENCES public.users(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.users
    ADD CONSTRAINT fk_users_owner_id FOREIGN KEY (owner_id) REFERENCES public.users(id) ON DELETE SET NULL;
