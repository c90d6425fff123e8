import type { Schema } from './open.ts'

/** `local.db`: carts, session records, the order outbox, revoked tokens. */
export const localSchema: Schema = {
  title: 'local.db',
  applicationId: 0x536f756c, // "Soul"
  migrations: [
    `
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE carts (
      user TEXT PRIMARY KEY,
      state BLOB NOT NULL,
      hash TEXT NOT NULL,
      delivered TEXT NOT NULL,
      synced_hash TEXT,
      held TEXT NOT NULL,
      updated_at_ms REAL NOT NULL
    );
    CREATE TABLE sessions (
      user TEXT PRIMARY KEY,
      epoch INTEGER NOT NULL,
      home TEXT NOT NULL,
      previous_members TEXT NOT NULL,
      last_active_at_ms REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX sessions_by_home ON sessions (home);
    CREATE TABLE outbox (
      "order" TEXT PRIMARY KEY,
      user TEXT NOT NULL,
      intent TEXT NOT NULL,
      created_at_ms REAL NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE revoked_tokens (id TEXT PRIMARY KEY, expires_at_ms REAL NOT NULL) WITHOUT ROWID;
    CREATE INDEX revoked_tokens_by_expiry ON revoked_tokens (expires_at_ms);
    `,
    `
    -- Ids alone: a copy of an erased account's cart that somebody still has must not come back.
    CREATE TABLE erased_users (user TEXT PRIMARY KEY) WITHOUT ROWID;
    `,
  ],
}
