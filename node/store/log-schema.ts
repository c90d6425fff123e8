import type { Schema } from './open.ts'

/** `log.db`: who this node is, what it promised (term, vote), and the log. */
export const logSchema: Schema = {
  title: 'log.db',
  applicationId: 0x536f756b, // "Souk"
  migrations: [
    `
    CREATE TABLE node (
      id INTEGER PRIMARY KEY CHECK (id = 1),
      member_id TEXT NOT NULL,
      private_key BLOB NOT NULL,
      cluster_id TEXT,
      starts INTEGER NOT NULL,
      term INTEGER NOT NULL,
      vote TEXT,
      snapshot_index INTEGER NOT NULL,
      snapshot_term INTEGER NOT NULL,
      snapshot_config TEXT NOT NULL
    );
    CREATE TABLE entries (
      "index" INTEGER PRIMARY KEY,
      term INTEGER NOT NULL,
      kind TEXT NOT NULL,
      data TEXT NOT NULL
    );
    CREATE TABLE peer_starts (
      peer TEXT PRIMARY KEY,
      starts INTEGER NOT NULL,
      last_term INTEGER NOT NULL,
      last_index INTEGER NOT NULL
    ) WITHOUT ROWID;
    `,
  ],
}
