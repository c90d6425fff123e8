/** Every bound of the HTTP side by name, with its reason. */

/** A cart change or an order with its note and contact is a few kB. */
export const jsonSizeBytesMax = 64 * 1024
/** A product with 500 variants and a long description; one catalog change takes no more. */
export const productSizeBytesMax = 512 * 1024
/** The same as a form: each byte may be percent-encoded as three. */
export const productFormSizeBytesMax = 3 * productSizeBytesMax
/** A catalog of a million products as CSV, on disk: the file is read whole before the first change. */
export const importSizeBytesMax = 1024 * 1024 * 1024
/** A form's file is held in memory while the form is read; larger files come by the API. */
export const importFormSizeBytesMax = 64 * 1024 * 1024
/** Handles of one import are held in memory, some 100 bytes each. */
export const importProductsMax = 1_000_000
/** Imports at once: they share one log, so more of them would only be slower. */
export const importsAtOnceMax = 2
/** Imports remembered by a node, with their answers: who looks at one that is over does it soon. */
export const importJobsKept = 20
/** Products of a dry run told field by field; an administrator looks at a page of them, not at a catalog. */
export const importDiffMax = 1_000
/** No document of the API is deeper; deeper ones are made to hurt recursive code. */
export const jsonDepthMax = 16
/** Lists: API.md, "General". */
export const listLimitMax = 200
export const listLimitDefault = 24
/** Idempotency-Key, in characters (API.md wants keys that fit a header and a log line). */
export const idempotencyKeyLengthMax = 200
/** Orders fetched at a time for an export: as many as a list may have, so that a page is one read of a voter. */
export const orderExportPageMax = listLimitMax
/** Cursors are made by us: a sort key and a handle at their longest. */
export const cursorLengthMax = 2_000
/** A search of more text than this is no search. */
export const queryTextLengthMax = 200
/** Rejected lines told one by one; an answer of millions of them helps nobody. */
export const rejectedLinesMax = 10_000

/** How long a session is good. Guests also end by --guest-cart-days. */
export const sessionLifetimeMs = 30 * 86_400_000
/** A token issued by a node whose clock runs ahead by less is ended with all others of its user. */
export const sessionClockSkewMs = 5_000
/** API.md, "Redirection". */
export const ticketLifetimeMs = 30_000
/** API.md: one request meets at most two redirects. */
export const hopsMax = 2
/** Tickets used within the last 30 s: 3,000 redirects a second, far above what one node serves. */
export const usedTicketsMax = 100_000

/** API.md: a comment every 15 s, so that proxies keep the connection and dead clients are noticed. */
export const heartbeatMs = 15_000
/** A token that was logged off is refused within a second (API.md); that goes for streams that are open, too. */
export const sessionCheckMs = 500
/** Open event streams of shoppers and operators on one node; each is a socket and a small queue. */
export const streamsMax = 2_000
/** Of these at most so many of one user: a few tabs on a few devices. */
export const streamsPerUserMax = 16
/** Events kept for a client that reconnects with Last-Event-ID. */
export const replayEventsMax = 32
/** How long they are kept once the last stream of a user is gone. */
export const replayLifetimeMs = 60_000
/** Bytes waiting for a slow client before its stream is ended; it reconnects and gets a snapshot. */
export const streamQueueSizeBytesMax = 256 * 1024

/** Failed log-ons of one e-mail address before it has to wait. */
export const logOnFailuresPerAccountMax = 20
/** Failed log-ons from one network address: many shoppers may share it. */
export const logOnFailuresPerAddressMax = 300
export const logOnWindowSeconds = 300
/** Registrations from one network address an hour; each costs a scrypt hash and a log entry. */
export const registrationsPerAddressMax = 20_000
export const registrationWindowSeconds = 3_600

/** A batch of an import is tried again this long while there is no primary: an election takes a second or two. */
export const importRetryMs = 10_000
export const importRetryPauseMs = 250

/** Slow clients: headers must be there within this time (LIMITS.md, "HTTP"). */
export const headersTimeoutMs = 10_000
/** The whole request, an import of the greatest size over a slow line included. */
export const requestTimeoutMs = 300_000
export const connectionsCheckingIntervalMs = 2_000
/** Idle keep-alive; longer than common proxies' own, so that they close first. */
export const keepAliveTimeoutMs = 65_000
/**
 * Requests that a turn of the event loop finds are served for so long; the rest is refused. It must be worth a
 * group commit, and hold what some hundred shoppers ask for at once; who is let in waits for two turns at most.
 */
export const turnBudgetMs = 150
/** A turn with fewer requests in it is long for another reason; this many are served however long they take. */
export const turnRequestsMin = 64
/**
 * Requests that wait for something, a disk or another member: at some 20 kB each what a node can spare, and at
 * thousands a second less than a second's worth.
 */
export const requestsInFlightMax = 2_000
/** While a node is overloaded, its log says so once in this time. */
export const overloadLogEveryMs = 10_000
/** Sockets of one node; each costs some 10 kB. */
export const connectionsMax = 10_000
export const headersSizeBytesMax = 16 * 1024
/** How long a stopping server waits for requests in flight. */
export const closeGraceMs = 10_000
