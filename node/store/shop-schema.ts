import type { Schema } from './open.ts'

/**
 * `shop.db`: what applying the log produces. Sort keys are columns of their own and every index ends in the handle, so
 * that a page is one range of one index whatever the size of the catalog. Personal data of orders is in
 * `order_contacts` alone, so that it can be erased.
 */
export const shopSchema: Schema = {
  title: 'shop.db',
  applicationId: 0x536f7570, // "Soup"
  migrations: [
    `
    CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE products (
      id INTEGER PRIMARY KEY,
      handle TEXT NOT NULL UNIQUE,
      title_key TEXT NOT NULL,
      category TEXT NOT NULL,
      vendor TEXT NOT NULL,
      status TEXT NOT NULL,
      price INTEGER NOT NULL,
      created_version INTEGER NOT NULL,
      json TEXT NOT NULL
    );
    CREATE INDEX products_by_title ON products (status, title_key, handle);
    CREATE INDEX products_by_price ON products (status, price, handle);
    CREATE INDEX products_by_created ON products (status, created_version, handle);
    CREATE INDEX products_by_category_title ON products (category, status, title_key, handle);
    CREATE INDEX products_by_category_price ON products (category, status, price, handle);
    CREATE INDEX products_by_category_created ON products (category, status, created_version, handle);
    CREATE INDEX products_by_vendor_title ON products (vendor, status, title_key, handle);
    CREATE INDEX products_by_vendor_price ON products (vendor, status, price, handle);
    CREATE INDEX products_by_vendor_created ON products (vendor, status, created_version, handle);
    -- What searches ask of each hit, without touching the wide rows.
    CREATE INDEX products_by_id ON products (id, status, category, vendor, handle, title_key, price, created_version);

    CREATE TABLE product_tags (
      tag TEXT NOT NULL,
      status TEXT NOT NULL,
      title_key TEXT NOT NULL,
      handle TEXT NOT NULL,
      price INTEGER NOT NULL,
      created_version INTEGER NOT NULL,
      product INTEGER NOT NULL,
      PRIMARY KEY (tag, status, title_key, handle)
    ) WITHOUT ROWID;
    CREATE INDEX product_tags_by_price ON product_tags (tag, status, price, handle);
    CREATE INDEX product_tags_by_created ON product_tags (tag, status, created_version, handle);

    CREATE TABLE variants (
      sku TEXT PRIMARY KEY,
      handle TEXT NOT NULL,
      title TEXT NOT NULL,
      variant_title TEXT NOT NULL,
      image TEXT,
      price INTEGER NOT NULL,
      status TEXT NOT NULL
    ) WITHOUT ROWID;

    CREATE TABLE facet_counts (
      facet TEXT NOT NULL,
      value TEXT NOT NULL,
      status TEXT NOT NULL,
      count INTEGER NOT NULL,
      PRIMARY KEY (facet, value, status)
    ) WITHOUT ROWID;

    CREATE VIRTUAL TABLE product_search USING fts5 (
      title, vendor, category, tags, description,
      content = '', contentless_delete = 1,
      tokenize = 'unicode61 remove_diacritics 2'
    );

    CREATE TABLE catalog_versions (version INTEGER PRIMARY KEY, size_bytes INTEGER NOT NULL, json TEXT NOT NULL);

    CREATE TABLE orders (
      id TEXT PRIMARY KEY,
      user TEXT NOT NULL,
      status TEXT NOT NULL,
      decided_index INTEGER NOT NULL,
      changed_index INTEGER NOT NULL,
      tags TEXT NOT NULL,
      json TEXT NOT NULL
    );
    CREATE UNIQUE INDEX orders_by_decided ON orders (decided_index);
    CREATE INDEX orders_by_changed ON orders (changed_index);
    CREATE INDEX orders_by_user ON orders (user, decided_index);
    CREATE INDEX orders_by_status ON orders (status, decided_index);

    CREATE TABLE order_contacts (
      "order" TEXT PRIMARY KEY,
      user TEXT NOT NULL,
      contact TEXT,
      note TEXT
    ) WITHOUT ROWID;
    CREATE INDEX order_contacts_by_user ON order_contacts (user);

    CREATE TABLE sold (tag TEXT PRIMARY KEY, user TEXT NOT NULL, "order" TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE accounts (id TEXT PRIMARY KEY, email_key TEXT NOT NULL UNIQUE, json TEXT NOT NULL) WITHOUT ROWID;

    CREATE TABLE command_results (id TEXT PRIMARY KEY, "index" INTEGER NOT NULL, json TEXT NOT NULL) WITHOUT ROWID;
    CREATE INDEX command_results_by_index ON command_results ("index");

    CREATE TABLE members (id TEXT PRIMARY KEY, joined_index INTEGER NOT NULL, json TEXT NOT NULL) WITHOUT ROWID;
    CREATE TABLE removed_members (id TEXT PRIMARY KEY, position INTEGER NOT NULL) WITHOUT ROWID;
    `,
    `
    -- Ids alone, which are random: so that every node lets go of what it holds of an erased account, however late it hears.
    CREATE TABLE erased_accounts (user TEXT PRIMARY KEY, erased_index INTEGER NOT NULL) WITHOUT ROWID;
    CREATE INDEX erased_accounts_by_index ON erased_accounts (erased_index);
    `,
    `
    -- What administrators look for. The texts are in the order itself, so nothing has to be written twice.
    CREATE INDEX orders_by_number ON orders (json_extract(json, '$.number'));
    CREATE INDEX orders_by_created ON orders (json_extract(json, '$.createdAt'), id);
    `,
    `
    -- Who changed which product. At voters: it comes with the log, the broadcast brings products alone.
    CREATE TABLE catalog_history (id INTEGER PRIMARY KEY, handle TEXT NOT NULL, json TEXT NOT NULL);
    CREATE INDEX catalog_history_by_handle ON catalog_history (handle, id);
    `,
  ],
}

/** Tables that a catalog snapshot must not hold (DESIGN.md section 3, "Snapshots"). */
export const votersOnlyTables = [
  'orders',
  'order_contacts',
  'sold',
  'accounts',
  'erased_accounts',
  'command_results',
  'catalog_history',
] as const
/** Their companions in `meta`. */
export const votersOnlyMeta = [
  'order_number',
  'orders_digest',
  'accounts_digest',
  'state_marks',
  'diverged',
  'applied',
] as const
