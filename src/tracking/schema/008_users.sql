-- Who may do what, where people have to log in. Each user has a role of his own beside those that he is given; what is
-- granted, is granted to roles.
CREATE TABLE users (
  id       INTEGER PRIMARY KEY,
  name     TEXT NOT NULL UNIQUE,
  password TEXT NOT NULL,     -- its hash, as auth/password.h writes it
  admin    INTEGER NOT NULL,  -- 1: may do everything
  created  INTEGER NOT NULL   -- ms since 1970
);

CREATE TABLE user_tokens (
  id      INTEGER PRIMARY KEY,
  owner   INTEGER NOT NULL,      -- users.id
  name    TEXT NOT NULL,
  sha256  TEXT NOT NULL UNIQUE,  -- of the token
  created INTEGER NOT NULL,
  expires INTEGER,               -- NULL: never
  UNIQUE (owner, name)
);

CREATE TABLE roles (
  id          INTEGER PRIMARY KEY,
  name        TEXT NOT NULL UNIQUE,
  description TEXT
);

CREATE TABLE role_members (
  id     INTEGER PRIMARY KEY,
  role   INTEGER NOT NULL,
  member INTEGER NOT NULL,  -- users.id
  UNIQUE (member, role)
);

CREATE TABLE role_grants (
  id         INTEGER PRIMARY KEY,
  role       INTEGER NOT NULL,
  kind       INTEGER NOT NULL,  -- of thing: 0 workspace, 1 experiment, 2 registered model
  pattern    TEXT NOT NULL,     -- an experiment's id, a model's name, '': all
  permission INTEGER NOT NULL,  -- auth::Permission
  UNIQUE (role, kind, pattern)
);
CREATE INDEX role_grants_by_thing ON role_grants (kind, pattern);

-- Counts the changes of all of these, so that servers know when what they remember is old.
CREATE TABLE auth_state (
  id      INTEGER PRIMARY KEY,
  changes INTEGER NOT NULL
);
INSERT INTO auth_state (id, changes) VALUES (1, 0);
