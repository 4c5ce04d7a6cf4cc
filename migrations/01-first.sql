-- The predecessor's table, as it made it, so that its files open too.
CREATE TABLE IF NOT EXISTS htcjobs (
    htcjobName TEXT,
    jobId      TEXT,     -- cluster.proc
    status     INTEGER,  -- 1 active, 4 succeeded, 7 failed; +10 once its files are home
    tempDir    TEXT,     -- the folder the job was submitted from
    uniqid     TEXT
);
-- What we add: a row is one HTCondor job, committed or about to be. Rows of the predecessor have no uid.
ALTER TABLE htcjobs ADD COLUMN uid TEXT;
ALTER TABLE htcjobs ADD COLUMN idx INTEGER;
ALTER TABLE htcjobs ADD COLUMN attempt INTEGER;
ALTER TABLE htcjobs ADD COLUMN submission INTEGER;
ALTER TABLE htcjobs ADD COLUMN intent INTEGER;                     -- while its submission is not settled
ALTER TABLE htcjobs ADD COLUMN ending TEXT;                        -- JSON of its end
ALTER TABLE htcjobs ADD COLUMN published INTEGER NOT NULL DEFAULT 0; -- its door has made the end known
CREATE UNIQUE INDEX htcjobs_key ON htcjobs (uid, idx, attempt, submission);
CREATE INDEX htcjobs_intent ON htcjobs (intent) WHERE intent IS NOT NULL;

-- A wish: this workload shall run, or shall be gone. A row whose work is gone stays as a tombstone.
CREATE TABLE wishes (
    uid        TEXT PRIMARY KEY,
    door       TEXT NOT NULL,     -- who wishes: htcjob, node, interlink
    namespace  TEXT NOT NULL,
    name       TEXT NOT NULL,
    workload   TEXT,              -- JSON; none in a tombstone
    want       TEXT NOT NULL,     -- run, gone, tombstone
    since      INTEGER NOT NULL,  -- when it came to want that, epoch seconds
    not_before INTEGER NOT NULL   -- nothing is submitted before, epoch seconds
) WITHOUT ROWID;

-- What waits to be submitted, as ranges of indices.
CREATE TABLE waiting (
    uid        TEXT NOT NULL,
    first      INTEGER NOT NULL,
    last       INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    submission INTEGER NOT NULL,
    PRIMARY KEY (uid, first)
) WITHOUT ROWID;

-- One call of condor_submit, from before it starts until all its jobs are settled.
CREATE TABLE intents (
    id      INTEGER PRIMARY KEY AUTOINCREMENT,
    created INTEGER NOT NULL      -- epoch seconds
);

-- The newest report of each job.
CREATE TABLE inbox (
    uid        TEXT NOT NULL,
    idx        INTEGER NOT NULL,
    attempt    INTEGER NOT NULL,
    submission INTEGER NOT NULL,
    start      INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    body       TEXT NOT NULL,     -- JSON
    PRIMARY KEY (uid, idx, attempt, submission)
) WITHOUT ROWID;

-- Facts about this file itself.
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
