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
    `
    -- How many carts there are, and sessions with each home. Every question who should be somebody's home asks for it,
    -- and counting 100,000 rows takes SQLite some 10 ms. Triggers keep it exact whatever a transaction does.
    CREATE TABLE counts (name TEXT PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
    INSERT INTO counts SELECT 'carts', count(*) FROM carts;
    INSERT INTO counts SELECT 'home ' || home, count(*) FROM sessions GROUP BY home;
    CREATE TRIGGER carts_inserted AFTER INSERT ON carts BEGIN
      UPDATE counts SET count = count + 1 WHERE name = 'carts';
    END;
    CREATE TRIGGER carts_deleted AFTER DELETE ON carts BEGIN
      UPDATE counts SET count = count - 1 WHERE name = 'carts';
    END;
    CREATE TRIGGER sessions_inserted AFTER INSERT ON sessions BEGIN
      INSERT INTO counts VALUES ('home ' || NEW.home, 1) ON CONFLICT (name) DO UPDATE SET count = count + 1;
    END;
    CREATE TRIGGER sessions_moved AFTER UPDATE OF home ON sessions WHEN OLD.home <> NEW.home BEGIN
      UPDATE counts SET count = count - 1 WHERE name = 'home ' || OLD.home;
      INSERT INTO counts VALUES ('home ' || NEW.home, 1) ON CONFLICT (name) DO UPDATE SET count = count + 1;
    END;
    CREATE TRIGGER sessions_deleted AFTER DELETE ON sessions BEGIN
      UPDATE counts SET count = count - 1 WHERE name = 'home ' || OLD.home;
    END;
    DROP INDEX sessions_by_home;
    `,
  ],
}
